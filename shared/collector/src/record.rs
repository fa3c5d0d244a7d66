//! One record: its content hash and the few members the rules look at, found in one pass over its raw text.
//!
//! Two records are the same only if their whole content is, compared by tokens: white space between tokens and the order
//! of an object's members do not count, everything else does (`1.0` is not `1.00`). The hash follows that definition:
//! scalars are hashed as their raw token, arrays in order, and an object is the *sum* of its members' hashes, so that
//! order drops out without sorting. All hashing is keyed SipHash-1-3 (64 bits): nobody without the key can make one
//! record hide another. A member whose value is a scalar is hashed as the text `"name":value`, which is how it mostly
//! stands there: one slice, hashed at once.
//!
//! The text was already validated where the page was split; anything unexpected here ends the walk and the rest is
//! hashed as it stands, which can only make records differ.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Key of all record hashes of a partition: 128 random bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// Reads 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// The key of a part of the partition that has this name: what is remembered of one part says nothing of another.
    pub fn derived(&self, name: &str) -> Self {
        let half = |which: u8| {
            let mut hasher = SipHasher13::new_with_key(&self.0);
            hasher.write(&[&[which], name.as_bytes()].concat());
            hasher.finish().to_le_bytes()
        };
        let mut key = [0; 16];
        let (first, second) = key.split_at_mut(8);
        first.copy_from_slice(&half(1));
        second.copy_from_slice(&half(2));
        Self(key)
    }

    /// Keyed hash of a name, for example a content id.
    pub fn of_name(&self, name: &str) -> u64 {
        self.of_value(name.as_bytes())
    }

    /// Keyed hash of a member's raw value, for example an id.
    pub fn of_value(&self, raw_value: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(raw_value);
        hasher.finish()
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// How many members one pass can pick.
pub const MAX_PICKS: usize = 4;

/// What one pass over a record finds.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// Keyed hash of the record's content.
    pub hash: u64,
    /// The raw value of each picked member, in the order of the paths asked for; the last one of its name counts.
    pub picked: [Option<&'a [u8]>; MAX_PICKS],
    /// Whether the record is a JSON object.
    pub is_object: bool,
}

/// Hashes a record and picks the members at `paths` (outermost name first; at most [`MAX_PICKS`] paths; an empty one picks
/// nothing). A member of the record itself that is called `ignoring` is left out of the hash.
pub fn scan<'a>(record: &'a [u8], key: &HashKey, paths: &[&[&str]], ignoring: Option<&str>) -> Scanned<'a> {
    let mut scanner = Scanner {
        text: record,
        at: 0,
        seed: SipHasher13::new_with_key(&key.0),
        paths,
        ignoring: ignoring.map(str::as_bytes),
        picked: [None; MAX_PICKS],
    };
    scanner.skip_space();
    let is_object = scanner.peek() == b'{';
    let all_paths = (0..paths.len().min(MAX_PICKS)).fold(0, |mask, path| mask | 1 << path);
    let mut hasher = scanner.seed;
    scanner.value(&mut hasher, 0, all_paths);
    scanner.skip_space();
    // Text behind the value belongs to no token of it; hashing it keeps different texts different.
    hasher.write(scanner.rest());
    Scanned { hash: hasher.finish(), picked: scanner.picked, is_object }
}

/// Deeper than this a value is hashed as raw text: the stack is bounded, the comparison only stricter.
const MAX_DEPTH: usize = 100;

struct Scanner<'a, 'p> {
    text: &'a [u8],
    at: usize,
    seed: SipHasher13,
    paths: &'p [&'p [&'p str]],
    ignoring: Option<&'p [u8]>,
    picked: [Option<&'a [u8]>; MAX_PICKS],
}

impl<'a> Scanner<'a, '_> {
    /// Feeds the value at the present place into `hasher`. `wanted` has a bit for each path that leads through here.
    fn value(&mut self, hasher: &mut SipHasher13, depth: usize, wanted: u8) {
        match self.peek() {
            b'{' if depth < MAX_DEPTH => {
                let sum = self.object(depth, wanted);
                hasher.write_u8(b'{');
                hasher.write_u64(sum);
            }
            b'[' if depth < MAX_DEPTH => {
                hasher.write_u8(b'[');
                self.array(hasher, depth);
                hasher.write_u8(b']');
            }
            b'{' | b'[' => {
                hasher.write(self.rest());
                self.at = self.text.len();
            }
            _ => {
                let token = self.scalar();
                hasher.write(token);
                hasher.write_u8(b',');
            }
        }
    }

    /// The sum of the hashes of an object's members.
    fn object(&mut self, depth: usize, wanted: u8) -> u64 {
        let mut sum = 0u64;
        self.at += 1;
        loop {
            self.skip_space();
            match self.peek() {
                b'"' => sum = sum.wrapping_add(self.member(depth, wanted)),
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return sum;
                }
                _ => return sum.wrapping_add(self.give_up()),
            }
        }
    }

    /// The hash of one member.
    fn member(&mut self, depth: usize, wanted: u8) -> u64 {
        let name_start = self.at;
        let name = self.string();
        let name_end = self.at;
        let (inside, picks) = self.paths_through(name, depth, wanted);
        self.skip_space();
        if self.peek() == b':' {
            self.at += 1;
        }
        self.skip_space();
        let start = self.at;
        let is_scalar = !matches!(self.peek(), b'{' | b'[');
        let hash = if is_scalar {
            let token = self.scalar();
            if start == name_end + 1 {
                self.seed.hash(&self.text[name_start..self.at])
            } else {
                let mut hasher = self.named(name);
                hasher.write(token);
                hasher.finish()
            }
        } else {
            let mut hasher = self.named(name);
            self.value(&mut hasher, depth + 1, inside);
            hasher.finish()
        };
        self.pick(picks, start);
        if depth == 0 && self.ignoring.is_some_and(|ignored| name.get(1..name.len() - 1) == Some(ignored)) {
            return 0;
        }
        hash
    }

    /// A hasher that was fed with `"name":`.
    fn named(&self, name: &[u8]) -> SipHasher13 {
        let mut hasher = self.seed;
        hasher.write(name);
        hasher.write_u8(b':');
        hasher
    }

    fn array(&mut self, hasher: &mut SipHasher13, depth: usize) {
        self.at += 1;
        loop {
            self.skip_space();
            match self.peek() {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return;
                }
                0 => {
                    hasher.write_u64(self.give_up());
                    return;
                }
                _ => {
                    let before = self.at;
                    self.value(hasher, depth + 1, 0);
                    if self.at == before {
                        hasher.write_u64(self.give_up());
                        return;
                    }
                }
            }
        }
    }

    /// Which of the wanted paths go on inside the member `name`, and which end at it.
    fn paths_through(&self, name: &[u8], depth: usize, wanted: u8) -> (u8, u8) {
        let (mut inside, mut ending) = (0, 0);
        if wanted == 0 || name.len() < 2 {
            return (inside, ending);
        }
        let bare_name = &name[1..name.len() - 1];
        for (index, path) in self.paths.iter().enumerate().take(MAX_PICKS) {
            if wanted & (1 << index) == 0 || path.get(depth).is_none_or(|part| part.as_bytes() != bare_name) {
                continue;
            }
            if path.len() == depth + 1 {
                ending |= 1 << index;
            } else {
                inside |= 1 << index;
            }
        }
        (inside, ending)
    }

    fn pick(&mut self, picks: u8, start: usize) {
        if picks == 0 {
            return;
        }
        let raw_value = &self.text[start..self.at];
        for (index, slot) in self.picked.iter_mut().enumerate() {
            if picks & (1 << index) != 0 {
                *slot = Some(raw_value);
            }
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> &'a [u8] {
        let start = self.at;
        let mut end = start + 1;
        loop {
            end = quote_or_escape(self.text, end);
            match self.text.get(end) {
                Some(b'\\') => end += 2,
                Some(_) => break,
                None => {
                    self.at = self.text.len();
                    return &self.text[start..];
                }
            }
        }
        self.at = end + 1;
        &self.text[start..self.at]
    }

    /// A string, a number or a literal.
    fn scalar(&mut self) -> &'a [u8] {
        if self.peek() == b'"' {
            return self.string();
        }
        let start = self.at;
        while let Some(byte) = self.text.get(self.at) {
            if matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                break;
            }
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// The hash of everything that is left, which is then behind us.
    fn give_up(&mut self) -> u64 {
        let mut hasher = self.seed;
        hasher.write(self.rest());
        self.at = self.text.len();
        hasher.finish()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte, 0 at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}

/// Where the next quote or backslash stands, from `from` on; behind the text if there is none. Strings of records are
/// short: eight bytes at a time are faster here than a search that has to get going.
fn quote_or_escape(text: &[u8], from: usize) -> usize {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
    const ESCAPES: u64 = u64::from_le_bytes([b'\\'; 8]);
    // Sets the high bit of each byte that is zero; bits above the first such byte mean nothing.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let (words, rest) = text.get(from..).unwrap_or_default().as_chunks::<8>();
    let mut at = from;
    for bytes in words {
        let word = u64::from_le_bytes(*bytes);
        let found = zeros(word ^ QUOTES) | zeros(word ^ ESCAPES);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count()
}

/// The text of a raw JSON string that holds no escapes; `None` for anything else.
pub fn plain_string(raw_value: &[u8]) -> Option<&str> {
    let inner = raw_value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return None;
    }
    std::str::from_utf8(inner).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const KEY: HashKey = HashKey([7; 16]);

    fn hash(text: &str) -> u64 {
        scan(text.as_bytes(), &KEY, &[], None).hash
    }

    #[test]
    fn the_keys_of_parts_differ_from_one_another_and_from_the_whole_ones_and_stay_the_same() {
        let key = HashKey::from_hex("000102030405060708090a0b0c0d0e0f").unwrap();
        let mut parts = ["", "a", "b", "ab"].map(|name| key.derived(name).of_name("x")).to_vec();
        parts.push(key.of_name("x"));
        assert_eq!(parts.into_iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
        assert_eq!(key.derived("a").of_name("x"), 12101809165176221835, "another way would send all again");
    }

    #[test]
    fn white_space_and_member_order_do_not_count() {
        let same = [
            r#"{"a":1,"b":{"c":[1,2,{"x":"y","z":null}],"d":"e"}}"#,
            "{ \"b\" : {\"d\":\"e\",\r\n\"c\": [1, 2, {\"z\":null,\"x\":\"y\"} ]},\t\"a\":1 }",
        ];
        assert_eq!(hash(same[0]), hash(same[1]));
    }

    #[test]
    fn every_change_of_a_token_counts() {
        let texts = [
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"a":null}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":{"1":1}}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":[12]}"#,
            r#"{"a":["1,2"]}"#,
            r#"{"a":["1","2"]}"#,
            r#"{"a":[],"b":1}"#,
            r#"{"a":{},"b":1}"#,
            "{}",
            "[]",
            "1",
            "\"1\"",
            "",
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1},"c":2}"#,
            r#"{"a":{"b":1,"c":2}}"#,
            r#"{"a":"\u0061"}"#,
            r#"{"a":"a"}"#,
        ];
        let hashes: std::collections::HashSet<u64> = texts.iter().map(|text| hash(text)).collect();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn another_key_gives_another_hash() {
        let other = HashKey::from_hex("000102030405060708090a0b0c0d0e0f").unwrap();
        assert_ne!(scan(b"{}", &other, &[], None).hash, hash("{}"));
        assert_eq!(HashKey::from_hex("xyz"), None);
    }

    #[test]
    fn picks_members_by_path_and_takes_the_last_of_a_name() {
        let text = br#"{"t":"first","x":{"t":"inner","p":{"q": [1, 2]}},"t" : "last","list":[{"t":"no"}]}"#;
        let paths: [&[&str]; 4] = [&["t"], &["x", "t"], &["x", "p", "q"], &["missing"]];
        let picked = scan(text, &KEY, &paths, None).picked;
        let texts = picked.map(|raw| raw.map(|bytes| std::str::from_utf8(bytes).unwrap()));
        assert_eq!(texts, [Some("\"last\""), Some("\"inner\""), Some("[1, 2]"), None]);
    }

    #[test]
    fn broken_or_deep_text_ends_and_still_differs() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let deeper = format!("{}2{}", "[".repeat(5000), "]".repeat(5000));
        assert_ne!(hash(&deep), hash(&deeper));
        for text in
            ["{", "[", "{\"a", "{\"a\":", "[1,", "{\"a\":]}", "[}", "]", "{,}", "\"\\", "[1 2", "{1:2}"]
        {
            hash(text);
        }
    }

    #[test]
    fn a_member_has_one_hash_however_it_is_spaced() {
        let value = r#""a longer text, its \"quotes\" and \\ among others""#;
        let spellings = [("", ""), (" ", ""), ("", " "), (" ", "\n "), ("\t\t", "")];
        let hashes: Vec<u64> = spellings
            .iter()
            .map(|(before, after)| {
                hash(&format!("{{\"some name\"{before}:{after}{value}, \"n\"{after}:{before}1}}"))
            })
            .collect();
        assert!(hashes.iter().all(|one| *one == hashes[0]), "{hashes:?}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\\n/é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-d]{1,2}", inner, 0..5)
                    .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>())),
            ]
        })
    }

    fn reversed(value: &Value) -> Value {
        match value {
            Value::Object(members) => Value::Object(
                members.iter().rev().map(|(name, inner)| (name.clone(), reversed(inner))).collect(),
            ),
            Value::Array(items) => items.iter().map(reversed).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_string_ends_at_its_first_quote_that_is_not_escaped(
            text in proptest::collection::vec(prop_oneof![8 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\')], 0..60),
            from in 0_usize..70,
        ) {
            let rest = text.get(from..).unwrap_or_default();
            let expected = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
            prop_assert_eq!(quote_or_escape(&text, from), from + expected);
        }

        #[test]
        fn equal_content_and_only_equal_content_has_an_equal_hash(first in any_json(), second in any_json()) {
            prop_assert_eq!(hash(&first.to_string()), hash(&format!("{:#}", reversed(&first))));
            prop_assert_eq!(first == second, hash(&first.to_string()) == hash(&second.to_string()));
        }
    }
}
