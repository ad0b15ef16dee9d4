//! Topics declared in the file against the topics that exist: what has to be done at start, and what cannot be.
//!
//! Pure: an image in, actions out. Who runs the broker hands the actions to the controller.

use std::collections::BTreeMap;

use watershed_metadata::MetadataImage;

use super::types::DeclaredTopic;

/// What makes the topics as they are declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicAction {
    /// The topic is not there.
    Create {
        /// Its name.
        name: String,
        /// How many partitions it gets; `None`: `num.partitions`.
        partitions: Option<i32>,
        /// Its configs.
        configs: BTreeMap<String, String>,
    },
    /// The topic has fewer partitions.
    Grow {
        /// Its name.
        name: String,
        /// How many partitions it has afterwards.
        partitions: i32,
    },
    /// Configs differ from the declared ones.
    Alter {
        /// The topic's name.
        name: String,
        /// The configs to set; those that are not named stay.
        configs: BTreeMap<String, String>,
    },
}

/// A declared topic that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicProblem {
    /// Partitions cannot be taken away.
    #[error(
        "topic {name} is declared with {declared} partitions and has {existing}: partitions cannot be removed; \
         declare {existing} or more, or delete the topic"
    )]
    Shrink {
        /// The topic.
        name: String,
        /// The declared number.
        declared: i32,
        /// The number there is.
        existing: i32,
    },
    /// Another topic's name is the same but for `.` and `_`.
    #[error(
        "topic {name} cannot be created: it collides with the existing topic {existing}, since '.' and '_' are the same in metrics"
    )]
    Collision {
        /// The declared topic.
        name: String,
        /// The topic that exists.
        existing: String,
    },
}

/// Compares the declared topics with the existing ones. Topics that are not declared are left alone, and so are
/// configs that are not.
///
/// # Errors
/// Every declared topic that cannot be had; then nothing should be done at all.
pub fn reconcile_topics(
    declared: &[DeclaredTopic],
    image: &MetadataImage,
) -> Result<Vec<TopicAction>, Vec<TopicProblem>> {
    let (mut actions, mut problems) = (Vec::new(), Vec::new());
    for topic in declared {
        let wanted = topic.partitions.map(|count| i32::try_from(count.get()).expect("its type bounds it to 10,000"));
        let Some(existing) = image.topic_by_name(&topic.name) else {
            match image.colliding_topic(&topic.name) {
                Some(other) => {
                    problems.push(TopicProblem::Collision { name: topic.name.clone(), existing: other.to_string() });
                }
                None => actions.push(TopicAction::Create {
                    name: topic.name.clone(),
                    partitions: wanted,
                    configs: topic.config.0.clone(),
                }),
            }
            continue;
        };
        let count = existing.partition_count();
        match wanted {
            Some(wanted) if wanted < count => {
                problems.push(TopicProblem::Shrink { name: topic.name.clone(), declared: wanted, existing: count });
            }
            Some(wanted) if wanted > count => {
                actions.push(TopicAction::Grow { name: topic.name.clone(), partitions: wanted });
            }
            _ => {}
        }
        let set = existing.configs();
        let differs = |(name, value): &(&String, &String)| set.get(*name) != Some(value);
        let configs: BTreeMap<_, _> =
            topic.config.0.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect();
        if !configs.is_empty() {
            actions.push(TopicAction::Alter { name: topic.name.clone(), configs });
        }
    }
    if problems.is_empty() { Ok(actions) } else { Err(problems) }
}
