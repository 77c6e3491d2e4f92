//! The time: the only reader of the wall clock and of the monotonic clock in the program's logic.
//!
//! A node has one [`Clock`] and gives it to whatever needs the time. Tests hold a clock and move it: a day passes at
//! once, and a wall clock jumps while time itself goes on.
//!
//! **A jump of the wall clock** must not delete anything: an operator or NTP sets it right again, and what is deleted is
//! lost. So deletion by age uses [`Clock::evident_ms`]: a second time goes on with the monotonic clock, and follows the
//! wall clock only after the two have been apart for as long as their difference, or for a day.

use std::{
    cmp::Ordering,
    fmt,
    future::Future,
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// The time after which any jump of the wall clock is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Smaller jumps are not reported.
const JUMP: Duration = Duration::from_secs(60);

/// The time of one node. Clones show the same time.
#[derive(Clone)]
pub struct Clock(Arc<Shared>);

struct Shared {
    source: Source,
    evidence: Mutex<Option<Evidence>>,
}

/// A time that does not jump.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    /// The believed time, since 1970, when it was last read.
    believed: Duration,
    /// Running time of that reading.
    seen: Duration,
    /// `Greater` if the wall clock is ahead of it.
    side: Ordering,
    /// Running time for which the wall clock has been on that side of it.
    apart: Duration,
    /// True if the wall clock is ahead because the program was not running, as far as it can know.
    was_away: bool,
    /// True if the jump has been logged.
    is_logged: bool,
}

/// The believed time, to be stored and given to the next process: see [`Clock::resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Believed {
    pub unix_ms: u64,
    /// Time for which the wall clock has been apart from it; negative if it was behind.
    pub apart_ms: i64,
}

enum Source {
    System,
    Held { wall: Mutex<u64>, running: watch::Sender<Duration> },
}

/// The monotonic time of the process counts from here.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock {
    /// Returns the clock of the machine.
    pub fn system() -> Clock {
        Clock::of(Source::System)
    }

    /// Returns a clock that stands still at `unix_ms` until a test moves it.
    pub fn held(unix_ms: u64) -> Clock {
        Clock::of(Source::Held { wall: Mutex::new(unix_ms), running: watch::Sender::new(Duration::ZERO) })
    }

    fn of(source: Source) -> Clock {
        Clock(Arc::new(Shared { source, evidence: Mutex::default() }))
    }

    /// Returns the wall clock in unix milliseconds. It may jump, forwards and backwards.
    pub fn unix_ms(&self) -> u64 {
        match &self.0.source {
            Source::System => unix_ms(),
            Source::Held { wall, .. } => *wall.lock(),
        }
    }

    /// Returns the wall clock in unix seconds, as tokens carry it.
    pub fn unix_secs(&self) -> i64 {
        i64::try_from(self.unix_ms() / 1000).unwrap_or(i64::MAX)
    }

    /// Returns the time since a fixed moment of this process. It never goes back, whatever the wall clock does.
    pub fn running(&self) -> Duration {
        match &self.0.source {
            Source::System => BEGAN.elapsed(),
            Source::Held { running, .. } => *running.borrow(),
        }
    }

    /// Returns the wall clock as far as there is evidence that this time has passed: never more than the wall clock, and
    /// never more than the believed time. For deletions by age.
    pub fn evident_ms(&self) -> u64 {
        let (evidence, wall) = self.observe();
        millis(evidence.believed.min(wall))
    }

    /// Returns the later of the wall clock and the believed time. A thing with this stamp is not older than it says,
    /// whatever the wall clock does now.
    pub fn latest_ms(&self) -> u64 {
        let (evidence, wall) = self.observe();
        millis(evidence.believed.max(wall))
    }

    /// Returns the seconds by which the wall clock has jumped, if it has and is not believed yet; negative for a jump
    /// backwards.
    pub fn jump_secs(&self) -> Option<i64> {
        let (evidence, wall) = self.observe();
        jump_secs(&evidence, wall)
    }

    /// Returns the believed time.
    pub fn believed(&self) -> Believed {
        let (Evidence { believed, side, apart, .. }, _) = self.observe();
        let apart = i64::try_from(apart.as_millis()).unwrap_or(i64::MAX);
        Believed { unix_ms: millis(believed), apart_ms: if side.is_gt() { apart } else { -apart } }
    }

    /// Continues the believed time of an earlier process. It has no effect on a clock whose believed time was read.
    pub fn resume(&self, from: Believed) {
        let mut evidence = self.0.evidence.lock();
        evidence.get_or_insert_with(|| Evidence {
            believed: Duration::from_millis(from.unix_ms),
            seen: self.running(),
            side: from.apart_ms.cmp(&0),
            apart: Duration::from_millis(from.apart_ms.unsigned_abs()),
            was_away: true,
            is_logged: false,
        });
    }

    /// Brings the believed time up to the present, and returns it with the wall clock.
    fn observe(&self) -> (Evidence, Duration) {
        let mut evidence = self.0.evidence.lock();
        let (wall, seen) = (Duration::from_millis(self.unix_ms()), self.running());
        let fresh = Evidence {
            believed: wall,
            seen,
            side: Ordering::Equal,
            apart: Duration::ZERO,
            was_away: false,
            is_logged: false,
        };
        let evidence = evidence.get_or_insert(fresh);
        let passed = seen.saturating_sub(evidence.seen);
        evidence.believed += passed;
        evidence.seen = seen;
        let side = wall.cmp(&evidence.believed);
        let difference = wall.abs_diff(evidence.believed);
        if side == evidence.side {
            evidence.apart += passed;
        } else {
            (evidence.side, evidence.apart) = (side, Duration::ZERO);
            evidence.was_away &= side.is_gt();
        }
        if evidence.apart >= difference.min(BELIEVED_AFTER) {
            *evidence = Evidence { is_logged: evidence.is_logged, ..fresh };
        }
        let jump = jump_secs(evidence, wall);
        if jump.is_some() != evidence.is_logged {
            evidence.is_logged = jump.is_some();
            match jump {
                Some(secs) => tracing::warn!(
                    "the wall clock has jumped by {secs} s. Nothing is deleted for its age by the new time until it has lasted a day. Check the time of this machine"
                ),
                None => tracing::warn!("the wall clock is believed again"),
            }
        }
        (*evidence, wall)
    }

    /// Waits for `time` to pass on this clock.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + use<> {
        let clock = self.clone();
        let until = self.running() + time;
        async move {
            match &clock.0.source {
                Source::System => tokio::time::sleep(time).await,
                Source::Held { running, .. } => {
                    let mut running = running.subscribe();
                    // The sender lives as long as `clock`, so this ends only when the time has come.
                    let _ = running.wait_for(|now| *now >= until).await;
                }
            }
        }
    }

    /// Moves a held clock: the wall clock and the monotonic clock go on by `time`. A system clock cannot be moved.
    pub fn advance(&self, time: Duration) {
        if let Source::Held { wall, running } = &self.0.source {
            *wall.lock() += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            running.send_modify(|running| *running += time);
        }
    }

    /// Sets the wall clock of a held clock, as an operator or NTP would, while the monotonic clock stands still. A
    /// system clock cannot be set.
    pub fn set_wall(&self, unix_ms: u64) {
        if let Source::Held { wall, .. } = &self.0.source {
            *wall.lock() = unix_ms;
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.source {
            Source::System => f.write_str("Clock::System"),
            Source::Held { .. } => write!(f, "Clock::Held({} ms)", self.unix_ms()),
        }
    }
}

fn jump_secs(evidence: &Evidence, wall: Duration) -> Option<i64> {
    let difference = wall.abs_diff(evidence.believed);
    if difference < JUMP || evidence.was_away && evidence.side.is_gt() {
        return None;
    }
    let secs = i64::try_from(difference.as_secs()).unwrap_or(i64::MAX);
    Some(if evidence.side.is_gt() { secs } else { -secs })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the machine's wall clock in unix milliseconds, for commands that run without a node.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_clock_moves_only_when_told() {
        let clock = Clock::held(1_000);
        let day = Duration::from_secs(86_400);
        let slept = tokio::spawn(clock.sleep(day));
        assert_eq!((clock.unix_ms(), clock.running()), (1_000, Duration::ZERO));
        clock.set_wall(5_000);
        assert_eq!((clock.unix_ms(), clock.running()), (5_000, Duration::ZERO));
        assert!(!slept.is_finished());
        clock.advance(day);
        slept.await.expect("the day has passed");
        assert_eq!((clock.unix_ms(), clock.running()), (86_405_000, day));
    }

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: u64 = 1_787_486_406_123;

    /// Sets the wall clock by days, and only that.
    fn jump(clock: &Clock, days: i64) {
        clock.set_wall(clock.unix_ms().saturating_add_signed(days * 86_400_000));
    }

    #[test]
    fn a_jump_is_believed_after_a_day_and_not_before() {
        for days in [40, -40] {
            let clock = Clock::held(NOW);
            assert_eq!((clock.evident_ms(), clock.jump_secs()), (NOW, None));
            jump(&clock, days);
            assert_eq!(clock.jump_secs(), Some(days * 86_400));
            clock.advance(Duration::from_secs(30));
            let expected = NOW + 30_000;
            assert_eq!(clock.evident_ms(), expected.min(clock.unix_ms()), "{days}");
            assert_eq!(clock.latest_ms(), expected.max(clock.unix_ms()), "{days}");
            jump(&clock, -days);
            assert_eq!((clock.evident_ms(), clock.latest_ms()), (expected, expected), "{days}");
            assert_eq!(clock.jump_secs(), None);

            jump(&clock, days);
            assert!(clock.jump_secs().is_some());
            clock.advance(DAY - Duration::from_millis(1));
            assert!(clock.jump_secs().is_some());
            clock.advance(Duration::from_millis(1));
            assert_eq!((clock.evident_ms(), clock.latest_ms()), (clock.unix_ms(), clock.unix_ms()), "{days}");
            assert_eq!(clock.jump_secs(), None);
        }
    }

    #[test]
    fn a_small_correction_is_believed_after_its_own_time() {
        let clock = Clock::held(NOW);
        clock.evident_ms();
        clock.set_wall(NOW + 10_000);
        assert_eq!((clock.evident_ms(), clock.jump_secs()), (NOW, None));
        clock.advance(Duration::from_secs(10));
        assert_eq!(clock.evident_ms(), NOW + 20_000);
    }

    #[test]
    fn the_next_process_continues_and_believes_the_time_in_between_after_a_day() {
        let before = Clock::held(NOW);
        before.evident_ms();
        // Nothing ran for 40 days; or the clock is wrong at the start.
        let clock = Clock::held(NOW + 40 * 86_400_000);
        clock.resume(before.believed());
        assert_eq!((clock.evident_ms(), clock.jump_secs()), (NOW, None));
        // A process that runs for some hours at a time must believe it too.
        clock.advance(DAY / 2);
        let again = Clock::held(clock.unix_ms() + 1000);
        again.resume(clock.believed());
        assert_eq!(again.evident_ms(), NOW + 43_200_000);
        again.advance(DAY / 2);
        assert_eq!(again.evident_ms(), again.unix_ms());
        // A clock that is behind the last process is wrong in any case.
        let behind = Clock::held(NOW - 86_400_000);
        behind.resume(before.believed());
        assert_eq!(behind.jump_secs(), Some(-86_400));
    }

    #[tokio::test]
    async fn the_system_clock_cannot_be_moved() {
        let clock = Clock::system();
        clock.advance(Duration::from_secs(1 << 40));
        clock.set_wall(0);
        assert!(clock.unix_ms() > 1_700_000_000_000);
        assert!(clock.running() < Duration::from_secs(1 << 39));
    }
}
