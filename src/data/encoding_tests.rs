#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::String,
        Kind::Hash,
        Kind::List,
        Kind::Set,
        Kind::SortedSet,
        Kind::Stream,
    ])
}

fn records() -> impl Strategy<Value = Record> {
    let payload = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let collection = (
        kinds().prop_filter("not a string", |kind| *kind != Kind::String),
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        any::<u64>(),
        payload.clone(),
    )
        .prop_map(|(kind, expires_at_ms, version, size, payload)| Record {
            kind,
            expires_at_ms,
            version,
            size,
            payload,
        });
    let short = (payload, any::<Option<u64>>())
        .prop_map(|(value, expires_at_ms)| Record::inline_string(value, expires_at_ms));
    let long = (any::<Option<u64>>(), any::<u64>(), 0..=crate::data::string::BYTES_MAX).prop_map(
        |(expires_at_ms, version, size)| Record {
            kind: Kind::String,
            expires_at_ms,
            version: Some(version),
            size,
            payload: Bytes::new(),
        },
    );
    prop_oneof![collection, short, long]
}

proptest! {
    #[test]
    fn records_come_back(record in records()) {
        let stored = Bytes::from(record.encode());
        prop_assert_eq!(Record::decode(stored).unwrap(), record);
    }

    /// Whatever is damaged, decoding says so or gives a record that is stored exactly so.
    #[test]
    fn every_record_has_one_spelling(
        stored in prop::collection::vec(any::<u8>(), 0..30),
        tag in 0..8u8,
        flags in 0..5u8,
    ) {
        let stored = Bytes::from([&[tag, flags], stored.as_slice()].concat());
        if let Ok(record) = Record::decode(stored.clone()) {
            prop_assert_eq!(record.encode(), stored);
        }
    }

    #[test]
    fn books_come_back(namespace: u64, keys: u64, expiring: u64) {
        let counts = KeyCounts { keys, expiring };
        prop_assert_eq!(KeyCounts::decode(&counts.encode()).unwrap(), counts);
        prop_assert_eq!(decode_namespace(&encode_namespace(namespace)).unwrap(), namespace);
        let counters = Counters { namespace, version: keys };
        prop_assert_eq!(Counters::decode(&counters.encode()).unwrap(), counters);
    }

    #[test]
    fn keys_come_apart_again(
        namespace: u64,
        number: u64,
        key in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let hash = hash(&key);
        prop_assert!(hash < 1 << 63);
        let stored = Bytes::from(record_key(namespace, hash, &key));
        prop_assert_eq!(split_record_key(&stored).unwrap(), (hash, Bytes::from(key.clone())));
        prop_assert!(records_from(namespace, hash).contains(&stored));
        prop_assert!(namespace_range(namespace).contains(&stored));

        let stored = Bytes::from(expiry_key(namespace, number, hash, &key));
        prop_assert_eq!(split_expiry_key(&stored).unwrap(), (number, Bytes::from(key)));
        prop_assert!(!expired_range(namespace, 0, number).contains(&stored));
        if number < u64::MAX {
            prop_assert!(expired_range(namespace, number, number + 1).contains(&stored));
            prop_assert!(!expired_range(namespace, number + 1, u64::MAX).contains(&stored));
        }

        prop_assert_eq!(split_flushed_key(&flushed_key(namespace)).unwrap(), namespace);
        let garbage = garbage_key(namespace, number);
        prop_assert_eq!(split_garbage_key(&garbage).unwrap(), (namespace, number));
        prop_assert!(garbage_of(namespace).contains(&garbage));
        prop_assert!(garbage_range().contains(&garbage));
    }

    #[test]
    fn chunk_keys_are_ordered_and_inside_their_version(
        namespace: u64,
        version: u64,
        first: u32,
        second: u32,
    ) {
        let (one, two) =
            (chunk_key(namespace, version, first), chunk_key(namespace, version, second));
        prop_assert_eq!(one.cmp(&two), first.cmp(&second));
        prop_assert_eq!(chunk_index(&one).unwrap(), first);
        prop_assert!(elements_range(namespace, version).contains(&one));
    }
}

#[test]
fn what_makes_no_sense_is_damage() {
    for stored in [
        &b""[..],
        b"\x01",
        b"\x01\x00",
        // An unknown type, an unknown flag.
        b"\x00\x00\x00",
        b"\x07\x00\x00",
        b"\x01\x04\x00",
        // Cut expiry, cut version, cut size.
        b"\x01\x01\0\0\0\0\0\0\0",
        b"\x01\x02\0\0\0\0\0\0\0",
        b"\x01\x00\x80",
        // A size with a needless byte, and one over 64 bits.
        b"\x02\x00\x81\x00",
        b"\x02\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        // A string that is not as long as it says, and one too long to be.
        b"\x01\x00\x02a",
        b"\x01\x00\x00a",
        b"\x01\x02\0\0\0\0\0\0\0\x01\x81\x80\x80\x80\x02",
    ] {
        let decoded = Record::decode(Bytes::from_static(stored));
        assert!(matches!(decoded, Err(Error::Corrupted(_))), "{stored:?}: {decoded:?}");
    }
    assert!(KeyCounts::decode(&[0; 15]).is_err());
    assert!(KeyCounts::decode(&[0; 17]).is_err());
    assert!(decode_namespace(&[0; 7]).is_err());
    assert!(Counters::decode(&[0; 15]).is_err());
    assert!(split_record_key(&Bytes::from_static(&[0; 15])).is_err());
    assert!(split_expiry_key(&Bytes::from_static(&[0; 23])).is_err());
    assert!(chunk_index(&[0; 19]).is_err());
}

/// The hash is on disk and in cursors: it must never come out otherwise.
#[test]
fn hashes_are_what_they_have_always_been() {
    assert_eq!(hash(b""), 0x2d06_8005_38d3_94c2 >> 1);
    for key in [&b"a"[..], b"greeting", &[0xff; 300]] {
        assert_eq!(hash(key), xxh3_64(key) >> 1);
    }
}
