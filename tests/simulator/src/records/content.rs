//! Names, ids and addresses to choose from, and the dice that choose.

use jiff::Timestamp;

use super::time_text;

/// Escapes and texts that a careless rewrite would change: raw UTF-8, `\u` escapes, an escaped slash, a surrogate
/// pair, quotes, a tab.
pub(super) const DISPLAY_NAMES: &[&str] = &[
    "Grace Okafor",
    "J\u{fc}rgen M\u{fc}ller-L\u{fc}denscheidt",
    "Zo\\u00eb O\\u0027Brien",
    "\u{5c71}\u{7530} \u{592a}\u{90ce}",
    "Ops \\\"night shift\\\" account",
    "Build\\/Release agent",
    "Caf\u{e9} kiosk \u{1f511}",
    "Emoji \\ud83d\\ude00 tester",
    "Tab\\tseparated name",
];

pub(super) const CITIES: &[(&str, &str, &str, &str, &str)] = &[
    ("Redmond", "Washington", "US", "47.680", "-122.120"),
    ("S\u{e3}o Paulo", "S\u{e3}o Paulo", "BR", "-23.5505", "-46.63330"),
    ("M\u{fc}nchen", "Bayern", "DE", "48.13743", "11.57549"),
    ("Quito", "Pichincha", "EC", "-0.0", "-78.4678"),
    ("Osaka", "Osaka", "JP", "34.693700000000001", "1.355E2"),
];

pub(super) const APPLICATIONS: &[&str] =
    &["Field Service Portal", "Azure CLI", "Payroll \\u2013 Staging", "Microsoft Teams", "Backup Agent"];

pub(super) const AGENTS: &[&str] = &[
    "Mozilla\\/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit\\/537.36 (KHTML, like Gecko) Chrome\\/131.0.0.0 Safari\\/537.36",
    "python-requests/2.32.3",
    "Dalvik/2.1.0 (Linux; U; Android 15; Pixel 9 Build/AP4A)",
];

/// A repeatable source of choices: splitmix64 over the seed and a purpose.
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    /// Dice for a seed; another purpose gives other throws.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        let state = purpose.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
        });
        Self { state }
    }

    /// Any number.
    pub(super) fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = (limit as u64).max(1);
        usize::try_from(self.throw() % limit).unwrap_or_default()
    }

    /// One of several.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A GUID.
    pub(super) fn guid(&mut self) -> String {
        let (high, low) = (self.throw(), self.throw());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }

    /// An IPv4 or IPv6 address of the documentation ranges.
    pub(super) fn address(&mut self) -> String {
        let number = self.throw();
        if number.is_multiple_of(4) {
            format!("2001:db8:{:x}::{:x}", (number >> 8) & 0xffff, (number >> 32) & 0xffff)
        } else {
            format!("203.0.113.{}", number % 254 + 1)
        }
    }

    /// The instant with 0 to 7 fractional digits; every third time it has none.
    pub(super) fn time(&mut self, time: Timestamp) -> String {
        let digits = self.one_of(&[0, 7, 0, 3, 1, 0, 2, 4, 0, 5, 6, 7]);
        time_text(time, digits)
    }
}
