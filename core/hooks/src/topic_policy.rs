//! The hook `topic-policy`: which topics there may be, and with which configs.

use std::collections::BTreeMap;

use crate::{Client, Failure};

/// What somebody wants to do to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicAction {
    /// Make it.
    Create,
    /// Change its configs.
    Alter,
    /// Give it more partitions.
    Grow,
}

impl TopicAction {
    /// The action's name, as plugins see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Alter => "alter",
            Self::Grow => "grow",
        }
    }
}

/// A topic as it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicChange<'a> {
    /// What is to be done.
    pub action: TopicAction,
    /// The topic's name.
    pub topic: &'a str,
    /// How many partitions it would have.
    pub partitions: u32,
    /// How many replicas each would have.
    pub replication_factor: u32,
    /// The topic's own configs as they would be; what is not named has its default.
    pub configs: &'a BTreeMap<String, String>,
    /// Who asks; empty fields where the broker itself does.
    pub client: Client<'a>,
}

/// What a topic policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TopicVerdict {
    /// It may be.
    #[default]
    Accept,
    /// It may be, with these configs set in addition, or instead of what was asked for. They have to be valid, and where
    /// partitions are added nothing can be set that the topic does not have already: that would be a wrong answer.
    AcceptWith(BTreeMap<String, String>),
    /// It may not be; the client is told why.
    Refuse(String),
}

/// Decides which topics there may be. It is asked before a topic is made, its configs are changed or partitions are added, and
/// only about what is valid in itself; also where a client only asks what would happen.
///
/// It is not asked about internal topics, nor about those that the broker's configuration file declares.
///
/// An instance is used by one thread at a time. It does no I/O and does not block.
pub trait TopicPolicy: Send {
    /// Judges a change.
    ///
    /// # Errors
    /// [`Failure`], of any kind: the change is refused.
    fn judge(&mut self, change: &TopicChange<'_>) -> Result<TopicVerdict, Failure>;
}
