//! Arrays in pieces of any size, and what is no array.

use proptest::prelude::*;

use super::*;

/// Feeds the pieces and gives the elements and what is known at the end.
fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Rest) {
    let mut splitter = Splitter::new();
    let mut elements = Vec::new();
    let mut last = Rest::Open;
    for piece in pieces {
        splitter.push(piece);
        let (cut, rest) = splitter.cut();
        elements.extend(cut.iter().map(|element| String::from_utf8(element.to_vec()).unwrap()));
        last = rest;
        if matches!(last, Rest::Broken(_)) {
            break;
        }
    }
    if last == Rest::Open {
        last = Rest::Broken(splitter.ends_early());
    }
    (elements, last)
}

#[test]
fn white_space_is_no_record_and_empty_arrays_are_whole() {
    let table: [(&str, &[&str]); 9] = [
        ("[]", &[]),
        (" [ ] ", &[]),
        ("\r\n[\t1\n]\n\n", &["1"]),
        ("\u{feff}[1]", &["1"]),
        ("[1,2]", &["1", "2"]),
        ("[ {\"a\" : [1, 2]} ,null,\"]\" , -1.50e+3 ]", &["{\"a\" : [1, 2]}", "null", "\"]\"", "-1.50e+3"]),
        ("[[],[[]]]", &["[]", "[[]]"]),
        ("[\"\\ud800\", \"\\\"\"]", &["\"\\ud800\"", "\"\\\"\""]),
        ("[true,false]", &["true", "false"]),
    ];
    for (text, expected) in table {
        let whole = split([text.as_bytes()]);
        let bytes = split(text.as_bytes().chunks(1));
        assert_eq!(whole.0, expected, "{text}");
        assert_eq!(whole.1, Rest::Ended, "{text}");
        assert_eq!(whole, bytes, "{text}");
    }
}

#[test]
fn what_is_broken_gives_what_was_whole_before_and_says_where() {
    let table: [(&str, &[&str], &str); 12] = [
        ("", &[], "ends early at byte 0"),
        ("[", &[], "ends early at byte 1"),
        ("[1", &[], "ends early at byte 2"),
        ("[1,", &["1"], "ends early at byte 3"),
        ("[{\"a\":1},{\"b\":", &["{\"a\":1}"], "ends early at byte 14"),
        ("[\"a", &[], "ends early at byte 3"),
        ("[1 2]", &["1"], "neither , nor ] after a record at byte 3"),
        ("[1,] ", &["1"], "not JSON in the record that begins at byte 3"),
        ("[,1]", &[], "not JSON in the record that begins at byte 1"),
        ("[1]]", &["1"], "something follows the array at byte 3"),
        ("[{'a':1}]", &[], "not JSON in the record that begins at byte 1"),
        ("{\"a\":1}", &[], "no array begins at byte 0"),
    ];
    for (text, expected, words) in table {
        for pieces in [1, 3, 100] {
            let (elements, rest) = split(text.as_bytes().chunks(pieces));
            assert_eq!(elements, expected, "{text} in pieces of {pieces}");
            assert!(matches!(&rest, Rest::Broken(told) if told.contains(words)), "{text}: {rest:?}");
        }
    }
}

#[test]
fn text_that_is_not_utf_8_is_no_record() {
    let (elements, rest) = split([&b"[1,\"\xff\"]"[..]]);
    assert_eq!(elements, ["1"]);
    assert!(matches!(rest, Rest::Broken(_)), "{rest:?}");
}

#[test]
fn the_beginning_tells_an_array_from_an_error() {
    let table = [
        ("", Beginning::Unknown),
        (" \n", Beginning::Unknown),
        (" [", Beginning::Array),
        ("\u{feff} [", Beginning::Array),
        ("{", Beginning::Other),
        ("<html>", Beginning::Other),
        ("'", Beginning::Other),
    ];
    for (text, expected) in table {
        let mut splitter = Splitter::new();
        splitter.push(text.as_bytes());
        assert_eq!(splitter.beginning(), expected, "{text}");
    }
    let mut splitter = Splitter::new();
    splitter.push(b"\xef\xbb");
    assert_eq!(splitter.beginning(), Beginning::Unknown);
}

#[test]
fn a_huge_record_is_looked_at_only_when_twice_as_much_of_it_has_come() {
    let record = format!("\"{}\"", "x".repeat(4_000_000));
    let text = format!("[1,{record},2]");
    let mut splitter = Splitter::new();
    let (mut looks, mut elements) = (0, Vec::new());
    for piece in text.as_bytes().chunks(10_000) {
        splitter.push(piece);
        if splitter.is_ripe() {
            looks += 1;
            elements.extend(splitter.cut().0);
        }
    }
    elements.extend(splitter.cut().0);
    assert!(looks < 15, "looked {looks} times");
    assert_eq!(elements.iter().map(Bytes::len).collect::<Vec<_>>(), [1, record.len(), 1]);
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?(e[+-][0-9]{1,3})?",
        "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        "[\\[\\]{}\",\\\\ ]{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let space = "[ \t\r\n]{0,2}";
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            (space, prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(space, items)| format!("[{space}{}{space}]", items.join(&format!("{space},")))),
            (space, prop::collection::vec(("[a-c\\]}]{0,3}", inner), 0..4)).prop_map(|(space, members)| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(name, value)| format!("\"{name}\"{space}:{space}{value}"))
                    .collect();
                format!("{{{space}{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_array_in_any_pieces_gives_each_element_byte_for_byte(
        elements in prop::collection::vec(json(), 0..12),
        space in "[ \t\r\n]{0,3}",
        ends in prop::collection::vec(0_usize..4000, 0..20),
        goes_byte_by_byte: bool,
        looks_only_when_ripe: bool,
    ) {
        let text = format!("{space}[{space}{}{space}]{space}", elements.join(&format!("{space},{space}")));
        let mut ends: Vec<usize> = ends.into_iter().map(|end| end.min(text.len())).collect();
        ends.push(text.len());
        if goes_byte_by_byte {
            ends.extend(0..text.len());
        }
        ends.sort_unstable();
        let mut splitter = Splitter::new();
        let (mut found, mut begin, mut last) = (Vec::new(), 0, Rest::Open);
        for (index, end) in ends.iter().enumerate() {
            splitter.push(&text.as_bytes()[begin..*end]);
            begin = *end;
            if looks_only_when_ripe && !splitter.is_ripe() && index + 1 < ends.len() {
                continue;
            }
            let (cut, rest) = splitter.cut();
            found.extend(cut);
            last = rest;
        }
        prop_assert_eq!(last, Rest::Ended, "{}", text);
        prop_assert_eq!(found, elements);
    }
}
