//! Patterns of group ids against an obvious matcher, and the order of rules.

use proptest::prelude::*;

use super::*;

/// As the rules say it, without care for time.
fn obviously(pattern: &[char], id: &[char]) -> bool {
    match (pattern.split_first(), id.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(('*', rest)), _) => obviously(rest, id) || (!id.is_empty() && obviously(pattern, &id[1..])),
        (Some(_), None) => false,
        (Some((c, rest)), Some((d, others))) => (*c == '?' || c == d) && obviously(rest, others),
    }
}

#[test]
fn patterns_stand_for_whole_ids() {
    let check = |pattern: &str, id: &str, expected: bool| {
        assert_eq!(pattern.parse::<GroupPattern>().unwrap().matches(id), expected, "{pattern:?} for {id:?}");
    };
    check("orders", "orders", true);
    check("orders", "orders-1", false);
    check("orders", "my-orders", false);
    check("orders-*", "orders-", true);
    check("orders-*", "orders-a-b", true);
    check("orders-*", "orders", false);
    check("*", "", true);
    check("*", "anything at all", true);
    check("?", "", false);
    check("?", "\u{fc}", true);
    check("?", "ab", false);
    check("*-blue", "a-blue-blue", true);
    check("*-blue", "a-blue-blu", false);
    check("a*b?d", "aXXbcbcd", true);
    check("**", "x", true);
    check("Orders", "orders", false);
    check("[a]", "a", false);
}

#[test]
fn a_pattern_is_never_empty_and_never_too_long() {
    assert_eq!("".parse::<GroupPattern>(), Err(GroupPatternError::Empty));
    let longest = "a".repeat(127);
    assert!(format!("{longest}*").parse::<GroupPattern>().unwrap().matches(&format!("{longest}b")));
    assert!(longest.parse::<GroupPattern>().unwrap().matches(&longest));
    assert_eq!("?".repeat(128).parse::<GroupPattern>(), Err(GroupPatternError::TooLong));
    assert_eq!("a*b".parse::<GroupPattern>().unwrap().to_string(), "a*b");
}

#[test]
fn the_first_rule_that_matches_holds() {
    let rule = |pattern: &str, assignor: Option<&str>, assignment| GroupRule {
        pattern: pattern.parse().unwrap(),
        assignor: assignor.map(str::to_owned),
        assignment,
    };
    let rules = GroupRules {
        rules: vec![
            rule("orders-eu", None, Assignment::Client),
            rule("orders-*", Some("sticky"), Assignment::Broker),
            rule("*", Some("range"), Assignment::Client),
        ],
    };
    let found = |id: &str| rules.rule_for(id).map(|rule| (rule.assignor.as_deref(), rule.assignment));
    assert_eq!(found("orders-eu"), Some((None, Assignment::Client)));
    assert_eq!(found("orders-us"), Some((Some("sticky"), Assignment::Broker)));
    assert_eq!(found("other"), Some((Some("range"), Assignment::Client)));
    assert_eq!(GroupRules::default().rule_for("orders-eu"), None);
}

proptest! {
    #[test]
    fn patterns_match_what_they_obviously_match(pattern in "[ab*?]{1,8}", id in "[abc]{0,8}") {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = obviously(&letters(&pattern), &letters(&id));
        prop_assert_eq!(pattern.parse::<GroupPattern>().unwrap().matches(&id), expected);
    }
}
