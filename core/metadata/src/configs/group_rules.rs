//! The operator's rules for groups (`[[groups]]` in the file): which assignor balances a group, and who assigns.
//!
//! A rule's pattern stands for whole group ids; the first rule that matches holds. Matching follows all possible
//! positions in the pattern at once, as bits of one machine word, so it is linear in the length of the id whatever the
//! pattern: the id is a client's.

use std::fmt;
use std::str::FromStr;

use watershed_model::limits::GROUP_PATTERN_CHARS_MAX;

/// Who computes the assignment of a classic group whose members all offer a protocol that the broker knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assignment {
    /// The member that leads the group, as the classic protocol has it.
    #[default]
    Client,
    /// The broker.
    Broker,
}

/// What holds for the groups whose id matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// Which groups.
    pub pattern: GroupPattern,
    /// The name of the assignor; `None`: the one that would be used without the rule.
    pub assignor: Option<String>,
    /// Who assigns in classic groups.
    pub assignment: Assignment,
}

/// All rules, in the operator's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRules {
    /// The first that matches holds.
    pub rules: Vec<GroupRule>,
}

impl GroupRules {
    /// The rule for the group with this id, if there is one.
    #[must_use]
    pub fn rule_for(&self, group_id: &str) -> Option<&GroupRule> {
        self.rules.iter().find(|rule| rule.pattern.matches(group_id))
    }
}

/// A pattern of group ids: `*` stands for any text, the empty one too, `?` for any one character, everything else for
/// itself.
///
/// The characters other than `*` are numbered from 0; being *at* a position means that the id's characters so far took
/// those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPattern {
    text: String,
    /// Each literal character, sorted, with the positions where it stands.
    literals: Vec<(char, u128)>,
    /// The positions of `?`.
    any: u128,
    /// The positions before which there is a `*`: the end as well, if the pattern ends with one.
    stars: u128,
    /// The position behind the last character.
    end: u128,
}

/// A text that is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupPatternError {
    /// It would match the empty id only, which nobody means.
    #[error("an empty pattern matches no group; \"*\" matches every group")]
    Empty,
    /// Its positions do not fit a machine word.
    #[error("a pattern has at most {GROUP_PATTERN_CHARS_MAX} characters besides *")]
    TooLong,
}

impl FromStr for GroupPattern {
    type Err = GroupPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(GroupPatternError::Empty);
        }
        if text.chars().filter(|c| *c != '*').count() > GROUP_PATTERN_CHARS_MAX {
            return Err(GroupPatternError::TooLong);
        }
        let mut pattern = Self { text: text.to_owned(), literals: Vec::new(), any: 0, stars: 0, end: 1 };
        for c in text.chars() {
            let here = pattern.end;
            match c {
                '*' => pattern.stars |= here,
                '?' => pattern.any |= here,
                _ => match pattern.literals.binary_search_by_key(&c, |(literal, _)| *literal) {
                    Ok(index) => pattern.literals[index].1 |= here,
                    Err(index) => pattern.literals.insert(index, (c, here)),
                },
            }
            if c != '*' {
                pattern.end <<= 1;
            }
        }
        Ok(pattern)
    }
}

impl GroupPattern {
    /// Whether the pattern stands for this id.
    #[must_use]
    pub fn matches(&self, group_id: &str) -> bool {
        let mut at: u128 = 1;
        for c in group_id.chars() {
            let literal = self.literals.binary_search_by_key(&c, |(literal, _)| *literal);
            let takes = self.any | literal.map_or(0, |index| self.literals[index].1);
            at = ((at & takes) << 1) | (at & self.stars);
            if at == 0 {
                return false;
            }
        }
        at & self.end != 0
    }
}

impl fmt::Display for GroupPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
