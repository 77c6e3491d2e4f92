//! The people and the kinds of meetings of the demo, and how many meetings there are at which time.

/// Identity and display name. The same people meet all month.
pub const PEOPLE: [(&str, &str); 40] = [
    ("alice", "Alice Weber"),
    ("bob", "Bob Martin"),
    ("chidi", "Chidi Okafor"),
    ("dana", "Dana Levi"),
    ("elif", "Elif Yılmaz"),
    ("farid", "فريد الحسن"),
    ("grace", "Grace Kim"),
    ("hiro", "佐藤 大翔"),
    ("ines", "Inês Carvalho"),
    ("jonas", "Jonas Lindqvist"),
    ("kavya", "Kavya Sharma"),
    ("liam", "Liam O’Connor"),
    ("mei", "林美玲"),
    ("noor", "نور الدين"),
    ("olena", "Олена Коваль"),
    ("omer", "Ömer Demir"),
    ("priya", "Priya Nair"),
    ("quinn", "Quinn Taylor"),
    ("rosa", "Rosa Álvarez"),
    ("sami", "Sami Virtanen"),
    ("tomas", "Tomáš Novák"),
    ("uma", "Uma Reddy"),
    ("viktor", "Виктор Орлов"),
    ("wanda", "Wanda Król"),
    ("ximena", "Ximena Torres"),
    ("yusuf", "Yusuf Adeyemi"),
    ("zoe", "Zoë de Vries"),
    ("anders", "Anders Sørensen"),
    ("bea", "Bea Schäfer"),
    ("carlo", "Carlo Rossi"),
    ("delphine", "Delphine Bernard"),
    ("emeka", "Emeka Eze"),
    ("fiona", "Fiona Campbell"),
    ("nikos", "Νίκος Παπαδόπουλος"),
    ("minjun", "김민준"),
    ("seoyeon", "이서연"),
    ("yael", "יעל כהן"),
    ("thuy", "Nguyễn Thị Thúy"),
    ("somchai", "Somchai Jaidee"),
    ("hannah", "Hannah Fischer"),
];

/// A kind of meeting.
#[derive(Debug)]
pub struct Topic {
    /// Name of its room, or the beginning if each meeting has its own room.
    pub name: &'static str,
    /// True if each meeting has its own room, with a number.
    pub is_numbered: bool,
    /// Share of the meetings that begin, compared with the others.
    pub weight: u32,
    /// Fewest and most people.
    pub people: (usize, usize),
    /// Shortest and longest time.
    pub minutes: (u64, u64),
    /// Percentage that is recorded.
    pub recorded: u32,
    /// Percentage of people with a camera.
    pub cameras: u32,
    pub guest: Option<Special>,
}

/// A participant who is not one of the people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Agent,
    Call,
}

const fn topic(name: &'static str, people: (usize, usize), minutes: (u64, u64), recorded: u32) -> Topic {
    Topic { name, is_numbered: false, weight: 2, people, minutes, recorded, cameras: 60, guest: None }
}

/// Every kind of meeting.
pub const TOPICS: [Topic; 16] = [
    topic("daily-standup", (4, 8), (12, 20), 0),
    topic("design-review", (3, 5), (35, 60), 20),
    topic("all-hands", (9, 14), (35, 60), 90),
    topic("onboarding-berlin", (3, 6), (45, 80), 30),
    topic("sales-acme", (2, 4), (25, 45), 40),
    topic("math-101", (6, 11), (45, 60), 80),
    topic("podcast-studio", (2, 3), (50, 90), 100),
    Topic { cameras: 100, ..topic("clinic-room-3", (2, 2), (12, 25), 0) },
    Topic { cameras: 20, ..topic("pair-rust", (2, 2), (50, 110), 0) },
    topic("retro-q4", (4, 7), (40, 60), 10),
    topic("game-night", (4, 6), (60, 120), 0),
    topic("office-hours", (2, 6), (50, 90), 0),
    Topic { is_numbered: true, ..topic("interview-", (2, 3), (40, 60), 30) },
    Topic { is_numbered: true, weight: 1, cameras: 30, ..topic("incident-", (3, 7), (20, 70), 20) },
    Topic {
        is_numbered: true,
        weight: 3,
        cameras: 0,
        guest: Some(Special::Call),
        ..topic("support-", (1, 1), (4, 20), 30)
    },
    Topic {
        is_numbered: true,
        weight: 3,
        cameras: 0,
        guest: Some(Special::Agent),
        ..topic("voice-", (1, 1), (3, 12), 0)
    },
];

const HOUR_MS: f64 = 3_600_000.0;
const DAY_MS: u64 = 86_400_000;

/// Returns the share of the usual number of meetings that are live at `at`, before the demo started at `start`.
///
/// The start counts as half past ten in the morning, so that the present is as busy as the rest of a working day,
/// whatever the time of the machine is. Saturdays and Sundays are quiet, except for the day of the start. The number has grown
/// over the month.
pub fn load(at: u64, start: u64) -> f64 {
    let ago = start.saturating_sub(at) as f64 / HOUR_MS;
    let of_day = match (10.5 - ago).rem_euclid(24.0) {
        6.0..8.0 => 0.15,
        8.0..9.0 => 0.5,
        9.0..12.0 => 1.0,
        12.0..13.0 => 0.6,
        13.0..17.0 => 0.9,
        17.0..19.0 => 0.4,
        19.0..22.0 => 0.2,
        _ => 0.04,
    };
    // 1970 began with a Thursday.
    let is_weekend = matches!((at / DAY_MS) % 7, 2 | 3);
    let of_week = if is_weekend && ago > 12.0 { 0.15 } else { 1.0 };
    let growth = 0.8f64.mul_add((1.0 - ago / (30.0 * 24.0)).powi(6), 0.2);
    of_day * of_week * growth
}
