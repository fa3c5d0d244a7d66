//! Lists that change while they are read, in pages of any size.

use proptest::prelude::*;

use super::*;

fn rows(names: &[u32]) -> Vec<Bytes> {
    names.iter().map(|name| Bytes::from(name.to_string())).collect()
}

#[test]
fn the_next_page_begins_a_hundredth_before_the_end_of_the_one_that_came() {
    for (came, next) in [(1, 1), (99, 99), (100, 99), (399, 396), (4_000, 3_960)] {
        let page = rows(&(0..came).collect::<Vec<_>>());
        let step = Rows { skip: 10_000, ..Rows::START }.step(&page, AskedBy::Number, 4_000).unwrap().unwrap();
        assert_eq!(step.skip, 10_000 + next, "{came}");
        assert_eq!(step.asked_by, AskedBy::Number);
    }
    assert_eq!(Rows::START.step(&[], AskedBy::Number, 4_000), Ok(None));
}

#[test]
fn what_is_known_comes_back_from_the_link() {
    let known = Rows::START.step(&rows(&[1, 2]), AskedBy::Link, 2).unwrap().unwrap();
    for rows in [Rows::START, known, Rows { asked_by: AskedBy::Number, ..known }] {
        let marked = rows.mark("https://x.example/a?$skip=1#other");
        assert_eq!(Rows::read(&marked), ("https://x.example/a?$skip=1", rows), "{marked}");
    }
    let (bare, rows) = Rows::read("https://x.example/a?$skip=1");
    assert_eq!((bare, rows.asked_by), ("https://x.example/a?$skip=1", AskedBy::Link));
}

#[test]
fn a_full_page_again_is_a_circle_but_an_empty_one_behind_a_link_is_not() {
    let first = Rows::START.step(&rows(&[1, 2]), AskedBy::Number, 2).unwrap().unwrap();
    assert_eq!(first.step(&rows(&[1, 2]), AskedBy::Number, 2), Err(SamePage));
    assert!(first.step(&rows(&[2, 1]), AskedBy::Number, 2).is_ok());
    let linked = Rows::START.step(&rows(&[1, 2]), AskedBy::Link, 2).unwrap().unwrap();
    let empty = linked.step(&[], AskedBy::Link, 2).unwrap().unwrap();
    assert_eq!((empty.skip, empty.step(&rows(&[1, 2]), AskedBy::Link, 2)), (2, Err(SamePage)));
}

#[test]
fn a_server_that_knows_links_or_nothing_in_place_of_skip_gives_its_whole_list_once() {
    // A list that is not full, whatever is skipped.
    let first = Rows::START.step(&rows(&[1, 2]), AskedBy::Number, 3).unwrap().unwrap();
    assert_eq!(first.step(&rows(&[1, 2]), AskedBy::Number, 3), Ok(None));
    // Two pages by a link, then the first one again, whether with its link or without.
    let linked = Rows::START.step(&rows(&[1, 2]), AskedBy::Link, 2).unwrap().unwrap();
    let behind = linked.step(&rows(&[3]), AskedBy::Number, 2).unwrap().unwrap();
    for asked_by in [AskedBy::Link, AskedBy::Number] {
        assert_eq!(behind.step(&rows(&[1, 2]), asked_by, 2), Ok(None));
    }
}

proptest! {
    #[test]
    fn a_list_whose_pages_are_cut_anywhere_is_read_whole(
        length in 0_usize..700,
        cuts in prop::collection::vec(1_usize..250, 1..8),
        with_link in prop::collection::vec(any::<bool>(), 1..5),
    ) {
        let list: Vec<u32> = (0..u32::try_from(length).unwrap()).collect();
        let mut seen: std::collections::BTreeSet<u32> = Default::default();
        let (mut place, mut requests) = (Rows::START, 0);
        loop {
            let begin = usize::try_from(place.skip).unwrap().min(list.len());
            let end = (begin + cuts[requests % cuts.len()]).min(list.len());
            let page = &list[begin..end];
            seen.extend(page);
            let has_link = end < list.len() && with_link[requests % with_link.len()];
            let asked_by = if has_link { AskedBy::Link } else { AskedBy::Number };
            requests += 1;
            prop_assert!(requests <= 2 * length + 2, "the walk has no end");
            match place.step(&rows(page), asked_by, 250).unwrap() {
                Some(next) => place = next,
                None => break,
            }
        }
        prop_assert_eq!(seen.len(), length);
    }

    #[test]
    fn rows_that_move_up_by_a_hundredth_of_a_page_are_not_passed_over(
        removed in prop::collection::vec(0_usize..1_000, 5),
    ) {
        let mut list: Vec<u32> = (0..1_000).collect();
        let mut seen = std::collections::BTreeSet::new();
        let (mut place, mut removals) = (Rows::START, removed.iter());
        loop {
            let begin = usize::try_from(place.skip).unwrap().min(list.len());
            let page = list[begin..(begin + 200).min(list.len())].to_vec();
            seen.extend(page.iter().copied());
            match place.step(&rows(&page), AskedBy::Number, 200).unwrap() {
                Some(next) => place = next,
                None => break,
            }
            for index in removals.by_ref().take(2) {
                list.remove(index % list.len());
            }
        }
        for row in &list {
            prop_assert!(seen.contains(row), "row {row} was passed over");
        }
    }
}
