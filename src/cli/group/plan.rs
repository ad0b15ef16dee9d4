//! Offsets to set, as files and on the command line: Kafka's formats.

use std::collections::BTreeSet;

use watershed_client::Admin;

use crate::cli::exit::{CliError, Exit};

/// A topic, and which of its partitions: `orders` or `orders:0,3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicPartitions {
    pub(super) topic: String,
    /// All of them where it does not say.
    pub(super) partitions: Option<BTreeSet<i32>>,
}

impl TopicPartitions {
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = || CliError::new(Exit::Usage, format!("{text:?} is not TOPIC or TOPIC:PARTITION,PARTITION,..."));
        let (topic, numbers) = match text.split_once(':') {
            Some((topic, numbers)) => (topic, Some(numbers)),
            None => (text, None),
        };
        if topic.is_empty() {
            return Err(wrong());
        }
        let number = |text: &str| text.trim().parse::<i32>().ok().filter(|number| *number >= 0).ok_or_else(wrong);
        let partitions = numbers.map(|numbers| numbers.split(',').map(number).collect()).transpose()?;
        Ok(Self { topic: topic.to_owned(), partitions })
    }
}

/// The partitions that are meant, in order.
///
/// # Errors
/// A topic or partition that does not exist.
pub(super) async fn expand(admin: &Admin, wanted: &[TopicPartitions]) -> Result<Vec<(String, i32)>, CliError> {
    let topics = admin.list_topics().await?;
    let mut all = BTreeSet::new();
    for TopicPartitions { topic, partitions } in wanted {
        let known = topics.topics.get(topic.as_str());
        let known = known.ok_or_else(|| CliError::new(Exit::NotFound, format!("there is no topic {topic:?}")))?;
        let numbers: BTreeSet<i32> = known.partitions.iter().map(|partition| partition.index).collect();
        let chosen = partitions.as_ref().unwrap_or(&numbers);
        if let Some(missing) = chosen.difference(&numbers).next() {
            let message = format!("topic {topic:?} has no partition {missing}; it has {}", numbers.len());
            return Err(CliError::new(Exit::NotFound, message));
        }
        all.extend(chosen.iter().map(|partition| (topic.clone(), *partition)));
    }
    Ok(all.into_iter().collect())
}

/// An offset to set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NewOffset {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// Reads Kafka's files: `topic,partition,offset` for one group, `group,topic,partition,offset` for several.
///
/// # Errors
/// The first line that is none, with its number.
pub(super) fn parse_file(text: &str, groups: &[String]) -> Result<Vec<NewOffset>, CliError> {
    let mut offsets = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |what: &str| CliError::new(Exit::Usage, format!("line {}: {line:?}: {what}", index + 1));
        let fields: Vec<_> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let (group, topic, partition, offset) = match (fields[..].len(), groups) {
            (3, [group]) => (group.as_str(), fields[0], fields[1], fields[2]),
            (3, _) => return Err(wrong("with several groups each line begins with its group")),
            (4, _) => (fields[0], fields[1], fields[2], fields[3]),
            _ => return Err(wrong("[group,]topic,partition,offset is expected")),
        };
        if !groups.iter().any(|known| known == group) {
            return Err(wrong("the group is not among those that were named (--group)"));
        }
        let partition = partition.parse().map_err(|_| wrong("the partition is no number"))?;
        let offset =
            offset.parse().ok().filter(|offset| *offset >= 0).ok_or_else(|| wrong("the offset is no number"))?;
        offsets.push(NewOffset { group: group.to_owned(), topic: topic.to_owned(), partition, offset });
    }
    Ok(offsets)
}

/// Writes what [`parse_file`] reads.
pub(super) fn to_file(offsets: &[NewOffset], with_group: bool) -> String {
    let line = |at: &NewOffset| {
        let group = if with_group { format!("{},", at.group) } else { String::new() };
        format!("{group}{},{},{}\n", at.topic, at.partition, at.offset)
    };
    offsets.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn topics_are_read_with_and_without_partitions() {
        let parsed = |text: &str| TopicPartitions::parse(text).map(|t| (t.topic, t.partitions.map(Vec::from_iter)));
        assert_eq!(parsed("a").unwrap(), ("a".to_owned(), None));
        assert_eq!(parsed("a:2,0,2").unwrap(), ("a".to_owned(), Some(vec![0, 2])));
        for wrong in ["", ":1", "a:", "a:x", "a:-1", "a:1,,2"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_come_back_as_they_were_written() {
        let at = |group: &str, partition, offset| NewOffset {
            group: group.to_owned(),
            topic: "t".to_owned(),
            partition,
            offset,
        };
        let (one, two) = (vec!["g".to_owned()], vec!["g".to_owned(), "h".to_owned()]);
        let offsets = vec![at("g", 0, 5), at("h", 1, 6)];
        assert_eq!(parse_file(&to_file(&offsets, true), &two).unwrap(), offsets);
        assert_eq!(parse_file(&to_file(&offsets[..1], false), &one).unwrap(), offsets[..1]);
        assert_eq!(parse_file("\n \"t\" , 0 , 5 \n", &one).unwrap(), offsets[..1]);
        for wrong in ["t,0", "t,x,5", "t,0,-5", "t,0,x", "other,t,0,5", "a,b,c,d,e"] {
            assert!(parse_file(wrong, &one).is_err(), "{wrong}");
        }
        assert!(parse_file("t,0,5", &two).is_err());
    }
}
