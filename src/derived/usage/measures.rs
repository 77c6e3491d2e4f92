//! Sums and peaks of one time, and their packed form.

use super::{DAY_MS, QUARTER_MS};

/// Number of quarters in a day.
pub(super) const QUARTERS: usize = (DAY_MS / QUARTER_MS) as usize;

/// A maximum at one time, and the first moment at which it was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    pub most: i64,
    /// Unix milliseconds; 0 if `most` is.
    pub at: i64,
}

impl Peak {
    /// Takes the greater one, and of equal ones the earlier.
    pub fn merge(&mut self, other: Peak) {
        if other.most > self.most || (other.most == self.most && other.at < self.at) {
            *self = other;
        }
    }
}

/// The sums in the order in which they are packed. A new one goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Sum {
    Participant,
    Agent,
    Call,
    Recorded,
    Sessions,
    Joins,
    Lost,
    AgentsFailed,
    CallsFailed,
    RecordingsFailed,
}

const SUMS: usize = Sum::RecordingsFailed as usize + 1;
const PEAKS: usize = 3;

/// Sums and peaks of one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    sums: [i64; SUMS],
    /// Rooms, participants and agents at one time.
    pub(super) peaks: [Peak; PEAKS],
}

macro_rules! sums {
    ($($(#[$doc:meta])* $name:ident $sum:ident;)*) => {
        impl Measures {
            $($(#[$doc])* pub fn $name(&self) -> i64 { self.sums[Sum::$sum as usize] })*
        }
    };
}

sums! {
    /// Milliseconds of participants that `participantCount` counts.
    participant_ms Participant;
    agent_ms Agent;
    /// Milliseconds of phone calls, which `participant_ms` has too.
    call_ms Call;
    /// Milliseconds of egress. Two at one time count twice.
    recorded_ms Recorded;
    /// Sessions that began.
    sessions Sessions;
    joins Joins;
    lost_connections Lost;
    failed_agents AgentsFailed;
    failed_calls CallsFailed;
    failed_recordings RecordingsFailed;
}

impl Measures {
    pub fn rooms(&self) -> Peak {
        self.peaks[0]
    }

    pub fn participants(&self) -> Peak {
        self.peaks[1]
    }

    pub fn agents(&self) -> Peak {
        self.peaks[2]
    }

    pub(super) fn add(&mut self, sum: Sum, by: i64) {
        self.sums[sum as usize] += by;
    }

    /// Adds the sums of another group at the same time, whose peaks say nothing about the peaks of both.
    pub(super) fn add_sums(&mut self, other: &Measures) {
        for (sum, by) in self.sums.iter_mut().zip(other.sums) {
            *sum += by;
        }
    }

    /// Adds the same group at another time.
    pub fn merge(&mut self, other: &Measures) {
        self.add_sums(other);
        for (peak, other) in self.peaks.iter_mut().zip(other.peaks) {
            peak.merge(other);
        }
    }

    fn is_empty(&self) -> bool {
        *self == Measures::default()
    }
}

/// The quarters of one UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day(pub Box<[Measures; QUARTERS]>);

impl Default for Day {
    fn default() -> Day {
        Day(Box::new([Measures::default(); QUARTERS]))
    }
}

impl Day {
    /// Packs the quarters that have something: the number of each, and then its numbers, seven bits in a byte.
    pub fn pack(&self, day: i64) -> Vec<u8> {
        let mut packed = Vec::new();
        for (n, measures) in self.0.iter().enumerate().filter(|(_, measures)| !measures.is_empty()) {
            let began = day * DAY_MS + n as i64 * QUARTER_MS;
            put(&mut packed, n as i64);
            for sum in measures.sums {
                put(&mut packed, sum);
            }
            for peak in measures.peaks {
                put(&mut packed, peak.most);
                put(&mut packed, if peak.most > 0 { peak.at - began } else { 0 });
            }
        }
        packed
    }

    /// Returns `None` if the bytes are not a packed day.
    pub fn unpack(day: i64, packed: &[u8]) -> Option<Day> {
        let mut unpacked = Day::default();
        let put = |at: i64, measures: &Measures| {
            unpacked.0[((at - day * DAY_MS) / QUARTER_MS) as usize] = *measures;
        };
        unpack(day, packed, put)?;
        Some(unpacked)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Measures::is_empty)
    }
}

/// Calls `each` with the beginning and the numbers of each quarter that has something. Returns `None` if the bytes are not a
/// packed day.
pub(super) fn unpack(day: i64, mut packed: &[u8], mut each: impl FnMut(i64, &Measures)) -> Option<()> {
    while !packed.is_empty() {
        let n = take(&mut packed).filter(|n| (0..QUARTERS as i64).contains(n))?;
        let began = day * DAY_MS + n * QUARTER_MS;
        let mut measures = Measures::default();
        for sum in &mut measures.sums {
            *sum = take(&mut packed)?;
        }
        for peak in &mut measures.peaks {
            peak.most = take(&mut packed)?;
            let after = take(&mut packed)?;
            peak.at = if peak.most > 0 { began.checked_add(after)? } else { 0 };
        }
        each(began, &measures);
    }
    Some(())
}

fn put(to: &mut Vec<u8>, number: i64) {
    let mut rest = number as u64;
    while rest > 0x7f {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn take(from: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number as i64);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peak_is_the_first_of_the_greatest_in_any_order() {
        let [early, late, lower] = [(2, 100), (2, 900), (1, 50)].map(|(most, at)| Peak { most, at });
        for order in [[early, late, lower], [late, early, lower], [lower, late, early], [late, lower, early]]
        {
            let mut peak = Peak::default();
            order.iter().for_each(|one| peak.merge(*one));
            assert_eq!(peak, early, "{order:?}");
        }
    }

    proptest! {
        #[test]
        fn a_packed_day_is_the_day(quarters in prop::collection::vec((0..QUARTERS, prop::array::uniform(0..1_i64 << 40), 0..QUARTER_MS), 0..9)) {
            let mut day = Day::default();
            for (n, sums, after) in quarters {
                let peaks = [1, 0, 7].map(|most| Peak { most, at: if most > 0 { 20_000 * DAY_MS + n as i64 * QUARTER_MS + after } else { 0 } });
                day.0[n] = Measures { sums, peaks };
            }
            prop_assert_eq!(Day::unpack(20_000, &day.pack(20_000)), Some(day));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Day::unpack(20_000, &bytes);
        }
    }
}
