//! The hooks on records: `interceptor`, `ordering-key`, `partitioner`, `fetch-filter`, `record-retention`.

use std::num::NonZeroU32;

use wasmtime::component::{ComponentType, Lift, Resource};
use watershed_hooks::{
    Batch, Choice, Column, Failure, FetchFilter, Interceptor, OrderingKey, Partitioner, Reads, RecordRetention,
    Replacement, Stay, Verdict, Visibility,
};

use super::{Guest, Signature};
use crate::abi::{BatchHandle, Headers, OwnColumn, OwnHeaders};

/// What a guest says where the client's choice of a partition stands.
const CLIENT_STANDS: u32 = u32::MAX;

/// `interceptor.verdicts`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Verdicts {
    codes: Vec<u8>,
    reasons: OwnColumn,
    values: OwnColumn,
    headers: OwnHeaders,
}

/// `interceptor.answer`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call: a box would cost more than it saves")]
pub(crate) enum InterceptorAnswer {
    #[component(name = "keep-all")]
    KeepAll,
    #[component(name = "each")]
    Each(Verdicts),
}

/// `fetch-filter.visibilities`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Visibilities {
    codes: Vec<u8>,
    values: OwnColumn,
    headers: OwnHeaders,
}

/// `fetch-filter.answer`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call: a box would cost more than it saves")]
pub(crate) enum FilterAnswer {
    #[component(name = "show-all")]
    ShowAll,
    #[component(name = "each")]
    Each(Visibilities),
}

/// `record-retention.answer`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum RetentionAnswer {
    #[component(name = "keep-all")]
    KeepAll,
    #[component(name = "each")]
    Each(Vec<u8>),
}

/// `interceptor.intercept`.
pub(crate) enum InterceptorFn {}

impl Signature for InterceptorFn {
    type Params = (Resource<BatchHandle>,);
    type Answer = InterceptorAnswer;
}

/// `ordering-key.ordering-keys`.
pub(crate) enum OrderingKeyFn {}

impl Signature for OrderingKeyFn {
    type Params = (Resource<BatchHandle>,);
    type Answer = OwnColumn;
}

/// `partitioner.partition`.
pub(crate) enum PartitionerFn {}

impl Signature for PartitionerFn {
    type Params = (Resource<BatchHandle>, u32);
    type Answer = Vec<u32>;
}

/// `fetch-filter.filter`.
pub(crate) enum FetchFilterFn {}

impl Signature for FetchFilterFn {
    type Params = (Resource<BatchHandle>,);
    type Answer = FilterAnswer;
}

/// `record-retention.retain`.
pub(crate) enum RecordRetentionFn {}

impl Signature for RecordRetentionFn {
    type Params = (Resource<BatchHandle>, i64);
    type Answer = RetentionAnswer;
}

impl Interceptor for Guest<InterceptorFn> {
    fn reads(&self) -> &Reads {
        &self.manifest().reads
    }

    fn intercept(&mut self, batch: &Batch<'_>, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
        let records = batch.len();
        self.ask(
            Some(batch),
            |batch| (batch,),
            |answer| match answer {
                InterceptorAnswer::KeepAll => {
                    verdicts.resize(records, Verdict::Keep);
                    Ok(())
                }
                InterceptorAnswer::Each(each) => read_verdicts(each, records, verdicts),
            },
        )
    }
}

impl OrderingKey for Guest<OrderingKeyFn> {
    fn reads(&self) -> &Reads {
        &self.manifest().reads
    }

    fn ordering_keys(&mut self, batch: &Batch<'_>, ordering_keys: &mut Column) -> Result<(), Failure> {
        let records = batch.len();
        self.ask(
            Some(batch),
            |batch| (batch,),
            |answer| {
                *ordering_keys = answer.check_len("the ordering keys", records)?;
                Ok(())
            },
        )
    }
}

impl Partitioner for Guest<PartitionerFn> {
    fn deterministic(&self) -> bool {
        self.manifest().deterministic
    }

    fn reads(&self) -> &Reads {
        &self.manifest().reads
    }

    fn partition(
        &mut self,
        batch: &Batch<'_>,
        partitions: NonZeroU32,
        choices: &mut Vec<Choice>,
    ) -> Result<(), Failure> {
        let records = batch.len();
        self.ask(
            Some(batch),
            |batch| (batch, partitions.get()),
            |answer| {
                answered("partitioner", answer.len(), records)?;
                choices.extend(answer.into_iter().map(|partition| match partition {
                    CLIENT_STANDS => Choice::ClientStands,
                    partition => Choice::Partition(partition),
                }));
                Ok(())
            },
        )
    }
}

impl FetchFilter for Guest<FetchFilterFn> {
    fn reads(&self) -> &Reads {
        &self.manifest().reads
    }

    fn filter(&mut self, batch: &Batch<'_>, visibilities: &mut Vec<Visibility>) -> Result<(), Failure> {
        let records = batch.len();
        self.ask(
            Some(batch),
            |batch| (batch,),
            |answer| match answer {
                FilterAnswer::ShowAll => {
                    visibilities.resize(records, Visibility::Show);
                    Ok(())
                }
                FilterAnswer::Each(each) => read_visibilities(each, records, visibilities),
            },
        )
    }
}

impl RecordRetention for Guest<RecordRetentionFn> {
    fn reads(&self) -> &Reads {
        &self.manifest().reads
    }

    fn retain(&mut self, batch: &Batch<'_>, now: i64, stays: &mut Vec<Stay>) -> Result<(), Failure> {
        let records = batch.len();
        self.ask(
            Some(batch),
            |batch| (batch, now),
            |answer| match answer {
                RetentionAnswer::KeepAll => {
                    stays.resize(records, Stay::Keep);
                    Ok(())
                }
                RetentionAnswer::Each(codes) => read_stays(&codes, records, stays),
            },
        )
    }
}

fn read_stays(codes: &[u8], records: usize, stays: &mut Vec<Stay>) -> Result<(), Failure> {
    answered("record retention", codes.len(), records)?;
    for (record, code) in codes.iter().enumerate() {
        stays.push(match code {
            0 => Stay::Keep,
            1 => Stay::Drop,
            other => return Err(no_such_code("record retention", record, *other)),
        });
    }
    Ok(())
}

/// Every record has an answer, and every answer a record.
fn answered(what: &str, given: usize, asked: usize) -> Result<(), Failure> {
    if given == asked {
        return Ok(());
    }
    Err(Failure::wrong_answer(format!("the {what} answered for {given} of {asked} records")))
}

fn no_such_code(what: &str, record: usize, code: u8) -> Failure {
    Failure::wrong_answer(format!("record {record}: {code} is no code of a {what}"))
}

/// What records hold instead, in the order in which the codes ask for it.
struct Replacements {
    values: Column,
    headers: Headers,
    values_taken: usize,
    headers_taken: usize,
}

impl Replacements {
    fn new(values: OwnColumn, headers: OwnHeaders, new_values: usize, new_headers: usize) -> Result<Self, Failure> {
        let values = values.check_len("the replaced values", new_values)?;
        let headers = headers.check(new_headers)?;
        Ok(Self { values, headers, values_taken: 0, headers_taken: 0 })
    }

    fn next(&mut self, value: bool, headers: bool) -> Replacement {
        let mut replacement = Replacement::default();
        if value {
            replacement.value = Some(self.values.get(self.values_taken).map(<[u8]>::to_vec));
            self.values_taken += 1;
        }
        if headers {
            replacement.headers = Some(self.headers.of(self.headers_taken));
            self.headers_taken += 1;
        }
        replacement
    }
}

fn count(codes: &[u8], wanted: [u8; 2]) -> usize {
    codes.iter().filter(|code| wanted.contains(code)).count()
}

fn read_verdicts(each: Verdicts, records: usize, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
    let Verdicts { codes, reasons, values, headers } = each;
    answered("interceptor", codes.len(), records)?;
    let reasons = reasons.check_len("the reasons", count(&codes, [2, 3]))?;
    let mut reasons = reasons.iter().map(|reason| {
        let reason = reason.and_then(|reason| std::str::from_utf8(reason).ok());
        reason.map(str::to_owned).ok_or_else(|| Failure::wrong_answer("a reason is null or not UTF-8"))
    });
    let mut reason = || reasons.next().expect("there is one for each code 2 and 3, as was checked");
    let mut replaced = Replacements::new(values, headers, count(&codes, [4, 6]), count(&codes, [5, 6]))?;
    for (record, code) in codes.into_iter().enumerate() {
        verdicts.push(match code {
            0 => Verdict::Keep,
            1 => Verdict::Drop,
            2 => Verdict::Reject(reason()?),
            3 => Verdict::DeadLetter(reason()?),
            4 => Verdict::Replace(replaced.next(true, false)),
            5 => Verdict::Replace(replaced.next(false, true)),
            6 => Verdict::Replace(replaced.next(true, true)),
            _ => return Err(no_such_code("verdict", record, code)),
        });
    }
    Ok(())
}

fn read_visibilities(each: Visibilities, records: usize, visibilities: &mut Vec<Visibility>) -> Result<(), Failure> {
    let Visibilities { codes, values, headers } = each;
    answered("fetch filter", codes.len(), records)?;
    let mut replaced = Replacements::new(values, headers, count(&codes, [2, 4]), count(&codes, [3, 4]))?;
    for (record, code) in codes.into_iter().enumerate() {
        visibilities.push(match code {
            0 => Visibility::Show,
            1 => Visibility::Hide,
            2 => Visibility::Redact(replaced.next(true, false)),
            3 => Visibility::Redact(replaced.next(false, true)),
            4 => Visibility::Redact(replaced.next(true, true)),
            _ => return Err(no_such_code("visibility", record, code)),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
