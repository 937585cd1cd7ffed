//! Requests as they may be shown to others: without passwords.

use bytes::Bytes;

use crate::resp::Args;

use super::args::is;
use super::config::is_secret;
use super::spec::Command;

/// What stands in place of a secret.
const REDACTED: Bytes = Bytes::from_static(b"(redacted)");

/// The request with its secrets replaced.
pub(super) fn redacted(command: &Command, args: &Args) -> Args {
    let mut shown = args.clone();
    for position in secrets(command, args) {
        if let Some(arg) = shown.get_mut(position) {
            *arg = REDACTED;
        }
    }
    shown
}

/// The positions of the arguments that are secret.
fn secrets(command: &Command, args: &Args) -> Vec<usize> {
    match command.name {
        // More arguments than it takes are an error, and may be passwords all the same.
        "auth" => (1..args.len()).collect(),
        "hello" => {
            let options = args.iter().enumerate().skip(2);
            let auth = options.filter(|(_, arg)| is(arg, "auth")).map(|(position, _)| position);
            auth.flat_map(|position| [position + 1, position + 2]).collect()
        }
        "config|set" => {
            let names = args.iter().enumerate().skip(2).step_by(2);
            names.filter(|(_, name)| is_secret(name)).map(|(position, _)| position + 1).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::table::find;
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (request, expected) in [
            ("set auth secret", "set auth secret"),
            ("AUTH secret", "AUTH (redacted)"),
            ("auth user secret", "auth (redacted) (redacted)"),
            ("auth a b c", "auth (redacted) (redacted) (redacted)"),
            ("hello 3 auth user secret setname x", "hello 3 auth (redacted) (redacted) setname x"),
            ("hello 3 auth user", "hello 3 auth (redacted)"),
            ("hello 3", "hello 3"),
            (
                "config set maxclients 5 RequirePass secret",
                "config set maxclients 5 RequirePass (redacted)",
            ),
            ("config set masterauth secret", "config set masterauth (redacted)"),
            ("config get requirepass", "config get requirepass"),
        ] {
            let args: Args = request.split(' ').map(|word| Bytes::from(word.to_owned())).collect();
            let shown: Vec<String> = redacted(find(&args).unwrap(), &args)
                .iter()
                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                .collect();
            assert_eq!(shown.join(" "), expected);
        }
    }
}
