//! `LOLWUT`: a picture, different each time, and the version.

use std::hash::{BuildHasher, RandomState};

use crate::resp::{Args, Encoder};

use super::args::{at_least, integer, is};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::server_state::REDIS_VERSION;
use super::spec::{Command, Flags, Group, Run};

/// Columns of the picture unless it is asked for others, and the bounds of those.
const COLUMNS_DEFAULT: i64 = 66;
const COLUMNS: std::ops::RangeInclusive<i64> = 20..=1000;

/// Rows of water.
const ROWS: i64 = 5;

/// What a boat looks like, its deck first.
const BOAT: [&str; 2] = ["________", "\\______/"];

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[Command::new("lolwut", -1, Run::Connection(lolwut))
    .group(Group::Server)
    .flags(Flags::FAST.or(Flags::READONLY))
    .syntax("[VERSION version:integer]")
    .docs("5.0.0", "O(1)", "Draws a picture, and returns the version")];

fn lolwut(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], mut options) = at_least(args)?;
    // Each version of Redis has its own picture; there is but one here.
    if let [option, version, rest @ ..] = options
        && is(option, "version")
    {
        integer(version)?;
        options = rest;
    }
    let columns = match options {
        [] => COLUMNS_DEFAULT,
        [columns, ..] => integer(columns)?.clamp(*COLUMNS.start(), *COLUMNS.end()),
    };
    let mut text = picture(columns, RandomState::new().hash_one(columns));
    text.push_str(&format!(
        "\nPontoon {}, a bridge of boats. Redis ver. {REDIS_VERSION}\n",
        env!("CARGO_PKG_VERSION")
    ));
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Boats under a roadway, on waves that `seed` sets.
fn picture(columns: i64, mut seed: u64) -> String {
    let mut random = |below: u64| {
        // xorshift: any numbers will do.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let width = usize::try_from(columns).unwrap_or(0);
    let mut lines = vec!["=".repeat(width)];
    let gap = 2 + random(4) as usize;
    let boat_width = BOAT[0].len();
    let boats = (width / (boat_width + gap)).max(1);
    for part in BOAT {
        let row = vec![part; boats].join(&" ".repeat(gap));
        lines.push(format!("{row:^width$}").trim_end().to_owned());
    }
    for row in 0..ROWS {
        let (length, shift) = (5 + random(9), random(14));
        let wave = |column: i64| {
            let phase = (column.unsigned_abs() + shift) % length;
            match phase * 3 / length {
                _ if row > 1
                    && (column.unsigned_abs() * 7 + phase) % (row.unsigned_abs() + 1) > 1 =>
                {
                    ' '
                }
                0 => '~',
                1 => '-',
                _ => '_',
            }
        };
        let line: String = (0..columns).map(wave).collect();
        lines.push(line.trim_end().to_owned());
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_as_wide_as_it_is_asked_for() {
        for (columns, seed) in [(20, 1), (66, 7), (1000, u64::MAX)] {
            let picture = picture(columns, seed);
            assert_eq!(picture.lines().map(str::len).max(), Some(columns as usize));
            assert_eq!(picture.lines().count() as i64, 1 + BOAT.len() as i64 + ROWS);
            assert!(picture.contains(BOAT[1]));
        }
        assert_ne!(picture(66, 1), picture(66, 2));
    }
}
