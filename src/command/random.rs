//! What `SRANDMEMBER`, `HRANDFIELD` and their like have in common: how many, and each once or not.

use crate::data::sample::{self, Sampler};
use crate::data::{Collection, Element};
use crate::resp::Encoder;

use super::args::integer;
use super::context::ReadContext;
use super::fail::Fail;

/// Elements chosen at a time where they may repeat; what is held besides the reply.
const CHOSEN_MAX: u64 = 1 << 16;

/// Bytes of a reply of elements that repeat: no data bounds them.
const REPLY_BYTES_MAX: usize = 512 << 20;

/// The shortest element in a reply.
const ELEMENT_BYTES_MIN: u64 = b"$0\r\n\r\n".len() as u64;

/// How many elements are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// So many different ones, or all.
    Distinct(u64),
    /// So many, each chosen from all.
    Repeated(u64),
}

impl Count {
    /// A negative number asks for elements that may repeat.
    pub(super) fn parse(arg: &[u8]) -> Result<Self, Fail> {
        match integer(arg)? {
            i64::MIN => Err(Fail::Reply(
                format!(
                    "ERR value is out of range, value must between {} and {}",
                    -i64::MAX,
                    i64::MAX
                )
                .into(),
            )),
            count @ ..0 => Ok(Count::Repeated(count.unsigned_abs())),
            count => Ok(Count::Distinct(count.unsigned_abs())),
        }
    }

    /// Refuses what is too much for elements of two parts.
    pub(super) fn check_pairs(self) -> Result<(), Fail> {
        let (Count::Distinct(count) | Count::Repeated(count)) = self;
        if count > i64::MAX as u64 / 2 {
            return Err(Fail::text("ERR value is out of range"));
        }
        Ok(())
    }

    /// Chooses from a collection whose subkeys have `prefix` and a hash before them, and replies with an
    /// array of what is chosen. `parts` is how many parts of the reply `reply` encodes for each.
    pub(super) fn reply(
        self,
        context: &mut ReadContext<'_>,
        collection: &Collection,
        prefix: &'static [u8],
        parts: usize,
        out: &mut Encoder,
        reply: impl Fn(Element, &mut Encoder) -> Result<(), Fail>,
    ) -> Result<(), Fail> {
        let mut sampler = Sampler::new(collection, prefix);
        let size = collection.size();
        let count = match self {
            Count::Distinct(count) => {
                context.walk(sample::cost(size, count))?;
                let chosen = sampler.distinct(&mut context.db, count)?;
                out.array(chosen.len().saturating_mul(parts));
                return chosen.into_iter().try_for_each(|element| reply(element, out));
            }
            Count::Repeated(count) => count,
        };
        if count.saturating_mul(ELEMENT_BYTES_MIN) > REPLY_BYTES_MAX as u64 {
            return Err(too_long());
        }
        context.walk(sample::cost(size, count).max(count))?;
        let mark = out.len_bytes();
        out.array(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(parts));
        let mut left = count;
        while left > 0 {
            let chosen = sampler.repeated(&mut context.db, left.min(CHOSEN_MAX))?;
            if chosen.is_empty() {
                return Err(damaged());
            }
            left = left.saturating_sub(chosen.len() as u64);
            for element in chosen {
                reply(element, out)?;
                if out.len_bytes() - mark > REPLY_BYTES_MAX {
                    return Err(too_long());
                }
            }
        }
        Ok(())
    }
}

/// A collection has fewer elements, or more, than its record says.
pub(super) fn damaged() -> Fail {
    Fail::Storage(pontoon_storage::Error::corrupted("a value has not as many elements as it says"))
}

fn too_long() -> Fail {
    Fail::Reply(format!("ERR reply exceeds maximum allowed size ({REPLY_BYTES_MAX} bytes)").into())
}
