#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::*;
use crate::data::effects::class;

fn client(id: u64) -> Arc<Client> {
    Arc::new(Client::new(id, String::new(), String::new()))
}

fn publisher(limit: OutputLimit) -> Publisher {
    Publisher { pubsub: Arc::default(), notify: 0, limit, listener: Arc::default() }
}

fn message(channel: &'static str, payload: &'static str) -> Message {
    Message { channel: channel.into(), payload: payload.into(), is_shard: false }
}

fn subscribe(topic: Topic, name: &'static str) -> Effect {
    Effect::Subscribe(topic, name.into())
}

fn received(client: &Client) -> String {
    let messages = client.take_messages(usize::MAX);
    client.set_unsent(0, OutputLimit::default());
    let bytes: Vec<u8> = messages.into_iter().flatten().collect();
    String::from_utf8(bytes).unwrap().replace("\r\n", " ")
}

#[test]
fn a_message_reaches_whoever_has_subscribed_in_his_protocol() {
    let publisher = publisher(OutputLimit::default());
    let (one, two) = (client(1), client(2));
    publisher.apply(&one, &[subscribe(Topic::Channel, "news"), subscribe(Topic::Pattern, "n*")]);
    publisher.apply(&two, &[Effect::Speak(Protocol::Resp3), subscribe(Topic::Channel, "news")]);
    assert_eq!(publisher.publish(&message("news", "hi")), 3);
    assert_eq!(received(&one), "*3 $7 message $4 news $2 hi *4 $8 pmessage $2 n* $4 news $2 hi ");
    assert_eq!(received(&two), ">3 $7 message $4 news $2 hi ");
    let shard = Message { is_shard: true, ..message("news", "hi") };
    assert_eq!(publisher.publish(&shard), 0);
    publisher.apply(&two, &[subscribe(Topic::Shard, "news")]);
    assert_eq!(publisher.publish(&shard), 1);
    assert_eq!(received(&two), ">3 $8 smessage $4 news $2 hi ");
    publisher.apply(&one, &[Effect::Unsubscribe(Topic::Channel, "news".into())]);
    assert_eq!(publisher.publish(&message("news", "hi")), 2);
    assert_eq!(publisher.pubsub.subscribers_lens(Topic::Channel, &["news".into()]), [1]);
}

#[test]
fn nothing_remains_of_those_who_have_left() {
    let publisher = publisher(OutputLimit::default());
    let mut clients = Vec::new();
    for number in 0..3 {
        let mut subscriptions = Subscriptions::default();
        let client = client(number);
        for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
            for name in ["shared".into(), Bytes::from(number.to_string())] {
                subscriptions.add(topic, name.clone());
                publisher.apply(&client, &[Effect::Subscribe(topic, name)]);
            }
        }
        clients.push((client, subscriptions));
    }
    assert_eq!(publisher.pubsub.names_len(Topic::Channel), 4);
    for (client, subscriptions) in &clients {
        assert!(publisher.pubsub.is_listened_to());
        publisher.pubsub.leave(client, subscriptions);
    }
    assert!(!publisher.pubsub.is_listened_to());
    for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
        assert_eq!(publisher.pubsub.names_len(topic), 0);
    }
    for (client, _) in clients {
        assert_eq!(Arc::strong_count(&client), 1);
    }
}

#[test]
fn who_does_not_read_is_cut_off_and_holds_nothing() {
    let limit = OutputLimit { hard_bytes: 1000, ..OutputLimit::default() };
    let publisher = publisher(limit);
    let (slow, quick) = (client(1), client(2));
    for client in [&slow, &quick] {
        publisher.apply(client, &[subscribe(Topic::Channel, "news")]);
    }
    let mut published = 0;
    while publisher.publish(&message("news", "hello")) == 2 {
        published += 1;
        assert!(!received(&quick).is_empty());
    }
    assert!(published > 5, "{published}");
    assert!(slow.is_killed() && !quick.is_killed());
    assert_eq!(slow.unread().message_bytes, 0);
    assert_eq!(publisher.publish(&message("news", "hello")), 1);
    assert_eq!(publisher.pubsub.others_len(&message("news", "hello"), &quick), 0);
}

#[test]
fn what_was_taken_and_not_written_counts_as_unread() {
    let limit = OutputLimit { hard_bytes: 1000, ..OutputLimit::default() };
    let publisher = publisher(limit);
    let slow = client(1);
    publisher.apply(&slow, &[subscribe(Topic::Channel, "news")]);
    let mut published = 0;
    while publisher.publish(&message("news", "hello")) == 1 {
        published += 1;
        slow.take_messages(usize::MAX);
        assert!(published < 100);
    }
    assert!(slow.is_killed());
}

#[test]
fn an_event_is_told_as_the_flags_say() {
    let listening = client(1);
    let mut publisher = publisher(OutputLimit::default());
    publisher.apply(&listening, &[subscribe(Topic::Pattern, "*")]);
    let events = [Event { class: class::STRING, name: "set", db: 3, key: "k".into() }];
    publisher.tell_events(&events);
    assert_eq!(received(&listening), "");
    publisher.notify = NOTIFY_KEYEVENT;
    publisher.tell_events(&events);
    let event = "*4 $8 pmessage $1 * $18 __keyevent@3__:set $1 k ";
    assert_eq!(received(&listening), event);
    publisher.notify = NOTIFY_KEYSPACE | NOTIFY_KEYEVENT;
    publisher.tell_events(&events);
    let key = "*4 $8 pmessage $1 * $16 __keyspace@3__:k $3 set ";
    assert_eq!(received(&listening), format!("{key}{event}"));
}

#[test]
fn a_transaction_is_told_in_its_order_behind_what_came_before_it() {
    let mut publisher = publisher(OutputLimit::default());
    publisher.notify = NOTIFY_KEYSPACE;
    let one = client(1);
    publisher.apply(&one, &[subscribe(Topic::Pattern, "*")]);
    publisher.publish(&message("before", ""));
    let event = |name| Event { class: class::STRING, name, db: 0, key: "k".into() };
    let events = [event("set"), event("append")];
    let effects = [
        (1, Effect::Publish(message("a", "first"))),
        (1, Effect::Unsubscribe(Topic::Pattern, "*".into())),
        (1, Effect::Publish(message("a", "missed"))),
        (1, subscribe(Topic::Channel, "__keyspace@0__:k")),
    ];
    publisher.commit(&one, &events, &effects);
    let marked: Vec<u8> = one.take_marked_messages().into_iter().flatten().collect();
    let before = "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$6\r\nbefore\r\n$0\r\n\r\n";
    assert_eq!(marked, before.as_bytes());
    assert_eq!(
        received(&one),
        "*4 $8 pmessage $1 * $16 __keyspace@0__:k $3 set *4 $8 pmessage $1 * $1 a $5 first \
         *3 $7 message $16 __keyspace@0__:k $6 append "
    );
}
