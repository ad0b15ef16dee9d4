// A member of a consumer group that a driver starts, commands and kills: ../README.md (groups).

'use strict'
const readline = require('readline')
const { AssignerProtocol, Kafka, PartitionAssigners, logLevel } = require('kafkajs')

const plan = JSON.parse(process.argv[2])
const kafka = new Kafka({ clientId: plan.name, brokers: [plan.bootstrap], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, retries: 20 } })

function event(name, fields = {}) { process.stdout.write(JSON.stringify({ e: name, ...fields }) + '\n') }

// kafkajs brings only round-robin. This is range as every Kafka client has it; version 0, because kafkajs does not write what
// later versions of the subscription add, and some leaders leave out whom they cannot read.
function range({ cluster }) {
  return {
    name: 'range',
    version: 0,
    async assign({ members, topics }) {
      const ids = members.map((member) => member.memberId).sort()
      const wants = {}
      for (const member of members) {
        wants[member.memberId] = AssignerProtocol.MemberMetadata.decode(member.memberMetadata).topics
      }
      const assignment = Object.fromEntries(ids.map((id) => [id, {}]))
      for (const topic of topics) {
        const partitions = cluster.findTopicPartitionMetadata(topic).map((p) => p.partitionId).sort((a, b) => a - b)
        const takers = ids.filter((id) => wants[id].includes(topic))
        takers.forEach((id, index) => {
          const small = Math.floor(partitions.length / takers.length)
          const extra = partitions.length % takers.length
          const first = index * small + Math.min(index, extra)
          assignment[id][topic] = partitions.slice(first, first + small + (index < extra ? 1 : 0))
        })
      }
      return ids.map((id) => ({
        memberId: id,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: 0, assignment: assignment[id], userData: Buffer.alloc(0) }),
      }))
    },
    protocol({ topics }) {
      return { name: 'range', metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }) }
    },
  }
}

const consumer = kafka.consumer({
  groupId: plan.group,
  sessionTimeout: plan.session_ms,
  heartbeatInterval: 300,
  rebalanceTimeout: 10000,
  metadataMaxAge: 1000,
  maxWaitTimeInMs: 100,
  partitionAssigners: [plan.assignor === 'range' ? range : PartitionAssigners.roundRobin],
})

let owned = []
function revokeAll() {
  if (owned.length > 0) event('revoked', { p: owned })
  owned = []
}

consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
  revokeAll()
  owned = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) => partitions.map((p) => [topic, p]))
  event('assigned', { p: owned })
})
consumer.on(consumer.events.REBALANCING, revokeAll)
consumer.on(consumer.events.CRASH, ({ payload }) => event('error', { m: String(payload.error) }))

async function eachBatch({ batch, resolveOffset, heartbeat }) {
  for (const message of batch.messages) {
    event('record', { t: batch.topic, p: batch.partition, o: Number(message.offset) })
    resolveOffset(message.offset)
  }
  const offset = String(BigInt(batch.lastOffset()) + 1n)
  await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset, metadata: plan.metadata }])
  event('committed', { p: [[batch.topic, batch.partition, Number(offset), plan.metadata]] })
  await heartbeat()
}

async function obey(command) {
  if (command === 'stop') {
    await consumer.disconnect()
    event('stopped')
    process.exit(0)
  } else if (command === 'unsubscribe') {
    await consumer.stop()
    event('unsubscribed')
  } else if (command === 'seek') {
    for (const [topic, partition] of owned) consumer.seek({ topic, partition, offset: '0' })
  } else if (command === 'committed') {
    const admin = kafka.admin()
    await admin.connect()
    const found = await admin.fetchOffsets({ groupId: plan.group })
    event('fetched', {
      p: found.flatMap((t) => t.partitions.filter((p) => owned.some(([n, q]) => n === t.topic && q === p.partition))
        .map((p) => [t.topic, p.partition, Number(p.offset), p.metadata])),
    })
    await admin.disconnect()
  }
}

async function main() {
  const lines = readline.createInterface({ input: process.stdin })
  let tail = Promise.resolve()
  const enqueue = (command) => { tail = tail.then(() => obey(command)).catch((error) => event('error', { m: String(error) })) }
  lines.on('line', (line) => enqueue(line.trim()))
  lines.on('close', () => enqueue('stop')) // The driver is gone.
  await consumer.connect()
  const topics = plan.pattern ? [new RegExp(plan.pattern)] : plan.topics
  await consumer.subscribe({ topics, fromBeginning: plan.reset === 'earliest' })
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch })
}

main().catch((error) => { event('error', { m: String(error) }); process.exit(1) })
