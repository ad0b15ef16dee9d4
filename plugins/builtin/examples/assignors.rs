//! Answers questions about groups with the built-in assignors: the other side of `tests/system/assignors`, which says how a
//! question is written. Questions come in at standard input, each member's partitions go out, in the same form.

use std::io::{self, BufRead, Write};

use watershed_hooks::{
    Assignor, Environment, GroupMember, GroupSpec, GroupTopic, Hook, HookKind, Settings, TopicPartition, assign_group,
};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut question: Vec<String> = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line != "end" {
            question.push(line);
            continue;
        }
        answer(&question, &mut out)?;
        question.clear();
    }
    Ok(out.flush()?)
}

fn answer(question: &[String], out: &mut impl Write) -> Result<(), Error> {
    let (mut name, mut heterogeneous, mut topics, mut members) = ("", false, Vec::new(), Vec::new());
    for line in question {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ask", assignor, kind] => (name, heterogeneous) = (assignor, kind == "heterogeneous"),
            ["topic", name, id, partitions, racks] => {
                let racks = racks.split('/').map(|of| of.split(',').filter(|rack| !rack.is_empty()).collect());
                let racks = if racks.clone().count() > 1 { racks.collect() } else { Vec::new() };
                topics.push(GroupTopic { name, id: id.parse()?, partitions: partitions.parse()?, racks });
            }
            ["member", member_id, instance, rack, topics, owned] => members.push(GroupMember {
                member_id,
                instance_id: some(instance),
                rack: some(rack),
                topics: list(topics).map(str::parse).collect::<Result<_, _>>()?,
                owned: list(owned).map(place).collect::<Result<_, _>>()?,
                user_data: &[],
            }),
            _ => {}
        }
    }
    let spec = GroupSpec::new(topics, members);
    let spec = if heterogeneous { spec.heterogeneous() } else { spec };
    let mut assignor = assignor(name.trim_start_matches("client-"))?;
    for places in assign_group(&mut *assignor, &spec)?.members {
        let places: Vec<String> = places.iter().map(|place| format!("{}:{}", place.topic, place.partition)).collect();
        writeln!(out, "answer {}", if places.is_empty() { "-".to_owned() } else { places.join(",") })?;
    }
    Ok(writeln!(out, "end")?)
}

fn some(word: &str) -> Option<&str> {
    Some(word).filter(|word| *word != "-")
}

fn list(words: &str) -> impl Iterator<Item = &str> {
    words.split(',').filter(|word| *word != "-")
}

fn place(text: &str) -> Result<TopicPartition, Error> {
    let (topic, partition) = text.split_once(':').ok_or("a partition is topic:partition")?;
    Ok(TopicPartition { topic: topic.parse()?, partition: partition.parse()? })
}

fn assignor(name: &str) -> Result<Box<dyn Assignor>, Error> {
    let factories = watershed_builtin::factories();
    let factory = factories.iter().find(|factory| factory.hook() == HookKind::Assignor && factory.name() == name);
    let factory = factory.ok_or_else(|| format!("there is no assignor {name}"))?;
    match factory.create(&Settings::new(), &Environment::with_random(|| 0))? {
        Hook::Assignor(assignor) => Ok(assignor),
        other => Err(format!("{name} is a {}", other.kind()).into()),
    }
}
