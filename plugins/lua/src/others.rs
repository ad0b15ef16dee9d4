//! The hooks that are asked about a log, a group or a topic: each gets a table, and answers with a value.

use std::collections::{BTreeMap, HashMap};

use mlua::{Lua, LuaString, Table, Value};
use watershed_hooks::{
    Assignor, Client, Failure, GroupAssignment, GroupMember, GroupSpec, GroupTopic, LogSummary, Retention, TopicChange,
    TopicPartition, TopicPolicy, TopicVerdict, by_topic,
};

use crate::call::message;
use crate::convert::kind;
use crate::instance::Instance;
use crate::sandbox::EXACT;

/// A number that is exact as a double.
pub(crate) fn exact(what: &str, number: i128) -> mlua::Result<f64> {
    let double = number as f64;
    if double.abs() < EXACT {
        return Ok(double);
    }
    Err(mlua::Error::RuntimeError(format!("{what} is {number}, which no number of Luau's holds exactly")))
}

impl Retention for Instance {
    fn delete_before(&mut self, log: &LogSummary<'_>) -> Result<Option<i64>, Failure> {
        match self.ask_about(|lua| log_table(lua, log))? {
            Value::Nil => Ok(None),
            // The driver has checked that it is whole and exact.
            Value::Number(offset) => Ok(Some(offset as i64)),
            Value::Integer(offset) => Ok(Some(offset)),
            other => Err(self.wrong(format!("{} is no offset", kind(&other)))),
        }
    }
}

fn log_table(lua: &Lua, log: &LogSummary<'_>) -> mlua::Result<Table> {
    let segments = lua.create_table_with_capacity(log.segments.len(), 0)?;
    for (i, segment) in (1..).zip(&log.segments) {
        let table = lua.create_table_with_capacity(0, 7)?;
        table.raw_set("base_offset", exact("an offset", segment.base_offset.into())?)?;
        table.raw_set("end_offset", exact("an offset", segment.end_offset.into())?)?;
        table.raw_set("bytes", exact("a size", segment.bytes.into())?)?;
        table.raw_set("records", exact("a number of records", segment.records.into())?)?;
        table.raw_set("first_timestamp", exact("a timestamp", segment.first_timestamp.into())?)?;
        table.raw_set("max_timestamp", exact("a timestamp", segment.max_timestamp.into())?)?;
        table.raw_set("sealed", segment.sealed)?;
        segments.raw_set(i, table)?;
    }
    let table = lua.create_table()?;
    table.raw_set("topic", log.topic)?;
    table.raw_set("partition", log.partition)?;
    table.raw_set("now", exact("the time", log.now.into())?)?;
    table.raw_set("start_offset", exact("an offset", log.start_offset.into())?)?;
    table.raw_set("high_watermark", exact("an offset", log.high_watermark.into())?)?;
    table.raw_set("segments", segments)?;
    Ok(table)
}

impl Assignor for Instance {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        match self.ask_about(|lua| group_table(lua, group))? {
            Value::Table(answer) => assignment(group, &answer).map_err(|message| self.wrong(message)),
            other => Err(self.wrong(format!("{} is no assignment", kind(&other)))),
        }
    }
}

fn group_table(lua: &Lua, group: &GroupSpec<'_>) -> mlua::Result<Table> {
    let names = lua.create_table_with_capacity(group.topics().len(), 0)?;
    let topics = lua.create_table_with_capacity(0, group.topics().len())?;
    for (i, topic) in (1..).zip(group.topics()) {
        names.raw_set(i, topic.name)?;
        topics.raw_set(topic.name, topic_table(lua, topic)?)?;
    }
    let members = lua.create_table_with_capacity(group.members().len(), 0)?;
    for (i, member) in (1..).zip(group.members()) {
        members.raw_set(i, member_table(lua, group, member)?)?;
    }
    let table = lua.create_table()?;
    table.raw_set("members", members)?;
    table.raw_set("topic_names", names)?;
    table.raw_set("topics", topics)?;
    Ok(table)
}

fn topic_table(lua: &Lua, topic: &GroupTopic<'_>) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("partitions", topic.partitions)?;
    if !topic.racks.is_empty() {
        let racks = lua.create_table_with_capacity(topic.racks.len(), 0)?;
        for partition in 0..topic.partitions {
            racks
                .raw_set(partition + 1, lua.create_sequence_from(topic.partition_racks(partition).iter().copied())?)?;
        }
        table.raw_set("racks", racks)?;
    }
    Ok(table)
}

fn member_table(lua: &Lua, group: &GroupSpec<'_>, member: &GroupMember<'_>) -> mlua::Result<Table> {
    let name = |topic: u32| group.topics()[topic as usize].name;
    let table = lua.create_table_with_capacity(0, 6)?;
    table.raw_set("id", member.member_id)?;
    table.raw_set("instance_id", member.instance_id)?;
    table.raw_set("rack", member.rack)?;
    table.raw_set("topics", lua.create_sequence_from(member.topics.iter().map(|topic| name(*topic)))?)?;
    let owned = lua.create_table()?;
    for (topic, partitions) in by_topic(&member.owned) {
        owned.raw_set(name(topic), lua.create_sequence_from(partitions.iter().map(|p| p.partition))?)?;
    }
    table.raw_set("owned", owned)?;
    table.raw_set("user_data", lua.create_string(member.user_data)?)?;
    Ok(table)
}

/// Reads `answer[member_id][topic] = {0, 1, 2}`, and no further than a right answer goes.
fn assignment(group: &GroupSpec<'_>, answer: &Table) -> Result<GroupAssignment, String> {
    let members: HashMap<&[u8], usize> =
        group.members().iter().map(|member| member.member_id.as_bytes()).zip(0..).collect();
    let topics: HashMap<&[u8], u32> = group.topics().iter().map(|topic| topic.name.as_bytes()).zip(0..).collect();
    let mut left: u64 = group.topics().iter().map(|topic| u64::from(topic.partitions)).sum();
    let mut given = GroupAssignment::empty(group.members().len());
    for pair in answer.pairs::<LuaString, Table>() {
        let (id, of_member) = pair.map_err(|_| "it is no table of members, each with a table of topics")?;
        let member = members.get(&*id.as_bytes());
        let member = *member.ok_or_else(|| format!("there is no member {}", message(&id.as_bytes())))?;
        for pair in of_member.pairs::<LuaString, Table>() {
            let (name, partitions) = pair.map_err(|_| "a member's table holds no topics, each with an array")?;
            let topic = topics.get(&*name.as_bytes());
            let topic = *topic.ok_or_else(|| format!("there is no topic {}", message(&name.as_bytes())))?;
            for pair in partitions.pairs::<Value, Value>() {
                let (_, partition) = pair.map_err(|error| error.to_string())?;
                let partition = partition.as_u32().ok_or_else(|| {
                    format!(
                        "topic {} has an array of numbers from 0, and something else in it",
                        message(&name.as_bytes())
                    )
                })?;
                left = left.checked_sub(1).ok_or("it gives more partitions than there are")?;
                given.members[member].push(TopicPartition { topic, partition });
            }
        }
    }
    Ok(given)
}

impl TopicPolicy for Instance {
    fn judge(&mut self, change: &TopicChange<'_>) -> Result<TopicVerdict, Failure> {
        match self.ask_about(|lua| change_table(lua, change))? {
            Value::Nil => Ok(TopicVerdict::Accept),
            Value::String(reason) => Ok(TopicVerdict::Refuse(message(&reason.as_bytes()))),
            Value::Table(configs) => {
                let configs: Result<BTreeMap<String, String>, _> = strings(&configs);
                Ok(TopicVerdict::AcceptWith(configs.map_err(|message| self.wrong(message))?))
            }
            other => Err(self.wrong(format!("{} is no verdict", kind(&other)))),
        }
    }
}

/// How many configs a topic policy may set.
const CONFIGS_MAX: usize = 256;

fn strings(table: &Table) -> Result<BTreeMap<String, String>, String> {
    let mut strings = BTreeMap::new();
    for pair in table.pairs::<Value, Value>() {
        let (Value::String(name), Value::String(value)) = pair.map_err(|error| error.to_string())? else {
            return Err("the configs to set must be strings, with strings as keys".to_owned());
        };
        let (Ok(name), Ok(value)) = (name.to_str(), value.to_str()) else {
            return Err("the configs to set must be UTF-8".to_owned());
        };
        strings.insert(name.to_owned(), value.to_owned());
        if strings.len() > CONFIGS_MAX {
            return Err(format!("it sets more than {CONFIGS_MAX} configs"));
        }
    }
    Ok(strings)
}

fn change_table(lua: &Lua, change: &TopicChange<'_>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("action", change.action.name())?;
    table.raw_set("topic", change.topic)?;
    table.raw_set("partitions", change.partitions)?;
    table.raw_set("replication_factor", change.replication_factor)?;
    let configs = lua.create_table_with_capacity(0, change.configs.len())?;
    for (name, value) in change.configs {
        configs.raw_set(name.as_str(), value.as_str())?;
    }
    table.raw_set("configs", configs)?;
    table.raw_set("client", client_table(lua, change.client)?)?;
    Ok(table)
}

fn client_table(lua: &Lua, client: Client<'_>) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("principal", client.principal)?;
    table.raw_set("client_id", client.client_id)?;
    table.raw_set("listener", client.listener)?;
    table.raw_set("host", client.host)?;
    Ok(table)
}
