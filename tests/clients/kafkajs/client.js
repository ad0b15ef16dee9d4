// kafkajs: produce and admin (it cannot consume without a group).
// Contract of a client program (plan in, result lines out): ../README.md

'use strict'
const fs = require('fs')
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require('kafkajs')
const snappy = require('snappyjs')
const lz4 = require('lz4js')

const plan = JSON.parse(fs.readFileSync(process.argv[2]))
const out = fs.openSync(plan.results, 'w')
const kafka = new Kafka({
  clientId: 'kafkajs', brokers: [plan.bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 3 },
})
const admin = kafka.admin()
const BASE_TS = 1700000000000

function line(object) { fs.writeSync(out, JSON.stringify(object) + '\n') }
function result(feature, name, ok, detail = '') { line({ feature, name, ok, detail: String(detail).slice(0, 500) }) }

async function check(feature, name, step) {
  try {
    await step()
    result(feature, name, true)
  } catch (error) {
    console.error(name, error)
    result(feature, name, false, error.stack)
  }
}

// The broker's own error may be wrapped: by retries, or one per topic.
function errorName(error) {
  if (error.errors && error.errors.length) return errorName(error.errors[0])
  return error.type || (error.cause && errorName(error.cause)) || error.name
}

async function refuses(name, expected, step) {
  try {
    await step()
    result('errors', name, false, `expected ${expected}, got success`)
  } catch (error) {
    result('errors', name, errorName(error) === expected, `expected ${expected}, got ${errorName(error)}: ${error.message}`)
  }
}

function equal(got, wanted, what) {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) {
    throw new Error(`${what}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`)
  }
}

// In a cluster an accepted change reaches the broker that answers a little later.
async function eventually(read, wanted, what) {
  const deadline = Date.now() + 5000
  let got = await read()
  while (JSON.stringify(got) !== JSON.stringify(wanted) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    got = await read()
  }
  equal(got, wanted, what)
}

// Only compression is needed: this client never reads records.
function codec(compress) {
  return () => ({ compress: async (encoder) => compress(encoder.buffer), decompress: async () => { throw new Error('not used') } })
}

// The frame that lz4js writes chains its blocks, which Kafka does not read: here each block
// stands alone (flags 0x60, blocks of 64 KiB 0x40; 0x82 is the checksum of these two bytes).
function lz4Frame(data) {
  const parts = [Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82])]
  for (let at = 0; at < data.length; at += 65536) {
    const chunk = data.subarray(at, at + 65536)
    const block = Buffer.alloc(lz4.compressBound(chunk.length))
    const size = lz4.compressBlock(chunk, block, 0, chunk.length, new Uint32Array(65536))
    const head = Buffer.alloc(4)
    const plain = size === 0 || size >= chunk.length
    head.writeUInt32LE(plain ? (0x80000000 + chunk.length) : size)
    parts.push(head, plain ? chunk : block.subarray(0, size))
  }
  return Buffer.concat([...parts, Buffer.alloc(4)])
}

async function registerCodecs() {
  const { Zstd } = await import(require.resolve('@hpcc-js/wasm-zstd').replace(/index\.(umd\.)?c?js$/, 'index.js'))
  const zstd = await Zstd.load()
  CompressionCodecs[CompressionTypes.Snappy] = codec((buffer) => snappy.compress(buffer))
  CompressionCodecs[CompressionTypes.LZ4] = codec(lz4Frame)
  CompressionCodecs[CompressionTypes.ZSTD] = codec((buffer) => Buffer.from(zstd.compress(buffer)))
}

const CODECS = {
  none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD,
}

function raw(hex) { return hex === null ? null : Buffer.from(hex, 'hex') }

function message(record) {
  const headers = {}
  for (const [name, value] of record.h) {
    if (name in headers) headers[name] = [].concat(headers[name], [raw(value)])
    else headers[name] = raw(value)
  }
  const timestamp = record.ts === null ? undefined : String(record.ts)
  return { partition: record.p, timestamp, key: raw(record.k), value: raw(record.v), headers }
}

async function produce(topic, codecName, records) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry: { retries: 3 } })
  await producer.connect()
  try {
    await producer.send({ topic, acks: -1, compression: CODECS[codecName], messages: records.map(message) })
  } finally {
    await producer.disconnect()
  }
}

function create(topic, numPartitions, configs = {}, replicationFactor = 1) {
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  return admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions, replicationFactor, configEntries }] })
}

async function write(topic) {
  await check('create', `create ${topic.topic}`, () => create(topic.topic, topic.partitions, topic.configs))
  await check(topic.feature, `produce ${topic.codec}`,
    () => produce(topic.topic, topic.codec, JSON.parse(fs.readFileSync(topic.corpus))))
}

async function config(topic, key) {
  const answer = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] })
  return answer.resources[0].configEntries.find((e) => e.configName === key).configValue
}

function alter(topic, entries) {
  const configEntries = Object.entries(entries).map(([name, value]) => ({ name, value }))
  return admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
}

function plain(value, ts) { return { p: 0, ts, k: null, v: Buffer.from(value).toString('hex'), h: [] } }

async function tryAdmin() {
  const t = `${plan.prefix}.admin`
  await check('create', 'create with configs', () => create(t, 3, { 'retention.ms': '-1' }))
  await check('describe', 'fetch topic metadata', async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [t] })
    equal(topics[0].partitions.length, 3, 'partitions')
    equal(topics[0].partitions.every((p) => p.leader >= 0 && p.isr.length === 1), true, 'leaders and isr')
  })
  await check('describe', 'list topics', async () => equal((await admin.listTopics()).includes(t), true, 'listed'))
  await check('partitions', 'grow to 5', async () => {
    await admin.createPartitions({ topicPartitions: [{ topic: t, count: 5 }] })
    await eventually(async () => (await admin.fetchTopicMetadata({ topics: [t] })).topics[0].partitions.length, 5, 'partitions')
  })
  await check('configs', 'alter and describe', async () => {
    await eventually(() => config(t, 'retention.ms'), '-1', 'retention.ms')
    await alter(t, { 'retention.ms': '-1', 'max.message.bytes': '2000' })
    await eventually(() => config(t, 'max.message.bytes'), '2000', 'after alter')
    await alter(t, { 'retention.ms': '-1' })
    await eventually(() => config(t, 'max.message.bytes'), '1048588', 'after an alter without it')
  })
  await check('list-offsets', 'earliest, latest, by time', async () => {
    await produce(t, 'none', Array.from({ length: 10 }, (_, i) => plain(`v${i}`, BASE_TS + i)))
    const zero = (await admin.fetchTopicOffsets(t)).find((p) => p.partition === 0)
    equal([zero.low, zero.high], ['0', '10'], 'low and high')
    const timed = (await admin.fetchTopicOffsetsByTimestamp(t, BASE_TS + 6)).find((p) => p.partition === 0)
    equal(timed.offset, '6', 'for timestamp')
  })
  await check('delete-records', 'up to 4', async () => {
    await admin.deleteTopicRecords({ topic: t, partitions: [{ partition: 0, offset: '4' }] })
    equal((await admin.fetchTopicOffsets(t)).find((p) => p.partition === 0).low, '4', 'low')
  })
  await check('cluster', 'describe', async () => {
    const { brokers, controller, clusterId } = await admin.describeCluster()
    equal([brokers.length, controller >= 0, Boolean(clusterId)], [1, true, true], 'cluster')
  })

  // createTopics turns "exists" into false; it shows no error.
  await check('errors', 'topic exists: false', async () => equal(await create(t, 1), false, 'created'))
  await refuses('bad topic name', 'INVALID_TOPIC_EXCEPTION', () => create('bad name!', 1))
  await refuses('no partitions', 'INVALID_PARTITIONS', () => create(`${plan.prefix}.none`, 0))
  await refuses('replication factor 3', 'INVALID_REPLICATION_FACTOR', () => create(`${plan.prefix}.rf`, 1, {}, 3))
  await refuses('bad config at create', 'INVALID_CONFIG', () => create(`${plan.prefix}.cfg`, 1, { 'retention.ms': 'soon' }))
  await refuses('unknown config', 'INVALID_CONFIG', () => alter(t, { 'no.such.config': '1' }))
  await refuses('bad config value', 'INVALID_CONFIG', () => alter(t, { 'retention.ms': 'soon' }))
  await refuses('fewer partitions', 'INVALID_PARTITIONS', () => admin.createPartitions({ topicPartitions: [{ topic: t, count: 2 }] }))
  await refuses('record too large', 'MESSAGE_TOO_LARGE', async () => {
    await alter(t, { 'retention.ms': '-1', 'max.message.bytes': '2000' })
    await eventually(() => config(t, 'max.message.bytes'), '2000', 'before the produce')
    await produce(t, 'none', [plain('x'.repeat(10000), null)])
  })
  await refuses('delete a missing topic', 'UNKNOWN_TOPIC_OR_PARTITION', () => admin.deleteTopics({ topics: [`${plan.prefix}.missing`] }))
  await check('delete', 'delete topic', async () => {
    await admin.deleteTopics({ topics: [t] })
    const deadline = Date.now() + 10000
    while ((await admin.listTopics()).includes(t)) {
      if (Date.now() > deadline) throw new Error('still listed after 10 s')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })
}

async function main() {
  await registerCodecs()
  await admin.connect()
  for (const topic of plan.topics || []) await write(topic)
  if (plan.admin) await tryAdmin()
  await admin.disconnect()
  line({ done: true })
}

main().catch((error) => { console.error(error); process.exit(1) })
