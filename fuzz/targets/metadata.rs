//! Metadata: batches of records as they lie in the metadata log, and what they do to an image.
//!
//! Bytes that are no batch are an error; a batch that was read can be written and reads the same; no sequence of records
//! makes the image panic; what the image says as records gives the same image again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_fuzz::{Input, counted, meter, seeds};
use watershed_metadata::{
    BrokerRegistered, ConfigResource, Endpoint, MetadataImage, MetadataRecord, PartitionRun, SecurityProtocol,
    decode_batch, encode_batch, supported_features,
};
use watershed_model::{BrokerId, LeaderEpoch, Offset, ProducerId, TopicId};

/// The most that reading may take for each byte: the largest record is a few hundred bytes, the shortest is five.
const MEMORY_PER_BYTE_MAX: usize = 128;

/// The envelope around records, with its checksum right.
fn sealed(body: &[u8]) -> Vec<u8> {
    [&[1], &crc32c::crc32c(body).to_be_bytes()[..], body].concat()
}

fn honest() -> Vec<Vec<u8>> {
    let topic = TopicId([7; 16]);
    let run = PartitionRun {
        count: 3,
        replicas: vec![BrokerId(1)],
        isr: None,
        leader: BrokerId(1),
        leader_epoch: LeaderEpoch(0),
    };
    let endpoint = Endpoint {
        name: "PLAINTEXT".into(),
        host: "localhost".into(),
        port: 9092,
        security_protocol: SecurityProtocol::Plaintext,
    };
    let registered = BrokerRegistered {
        broker: BrokerId(1),
        incarnation: [3; 16],
        listeners: vec![endpoint],
        rack: Some("r".into()),
        features: supported_features(),
    };
    let config =
        |resource| MetadataRecord::ConfigChanged { resource, name: "retention.ms".into(), value: Some("1".into()) };
    let batches = [
        vec![MetadataRecord::ClusterCreated { cluster_id: topic }, MetadataRecord::BrokerRegistered(registered)],
        vec![
            MetadataRecord::FeatureFinalized { name: "metadata.version".into(), level: 1 },
            MetadataRecord::BrokerStarted { broker: BrokerId(1), starts: 1 },
        ],
        vec![
            MetadataRecord::TopicCreated { topic, name: "a.b".into(), partitions: vec![run.clone()] },
            MetadataRecord::PartitionsAdded { topic, first: 3, partitions: vec![run] },
            config(ConfigResource::Topic(topic)),
            config(ConfigResource::Group("g".into())),
        ],
        vec![
            MetadataRecord::ProducerIdsAllocated { broker: BrokerId(1), next: ProducerId(1000) },
            MetadataRecord::OffsetsReserved { topic, partition: 1, until: Offset(9) },
        ],
        vec![MetadataRecord::TopicDeleted { topic }],
    ];
    let bodies: Vec<Vec<u8>> = batches.iter().map(|batch| counted(&encode_batch(batch)[5..])).collect();
    vec![bodies[0].clone(), bodies[..2].concat(), bodies[..3].concat(), bodies.concat()]
}

fuzz_target!(init: seeds::write_if_asked(honest()), |data: &[u8]| {
    // As it is: only the checksum is in the way.
    let _ = decode_batch(data);
    let mut input = Input::new(data);
    let mut image = MetadataImage::default();
    for _ in 0..16 {
        let body = input.counted();
        if body.is_empty() {
            break;
        }
        let bytes = sealed(body);
        let (decoded, peak) = meter::peak(|| decode_batch(&bytes));
        assert!(peak <= MEMORY_PER_BYTE_MAX * bytes.len() + 4096, "{peak} bytes taken for {}", bytes.len());
        let Ok(records) = decoded else { continue };
        assert_eq!(decode_batch(&encode_batch(&records)).as_ref(), Ok(&records));
        if let Ok((next, _)) = image.apply_batch(&records) {
            image = next;
        }
    }
    let records: Vec<MetadataRecord> = image.records().collect();
    let (again, _) = MetadataImage::default().apply_batch(&records).expect("an image's own records give it");
    assert!(again.records().eq(records), "an image's records give another image");
});
