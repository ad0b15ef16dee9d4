// Which partition a record belongs to: tenants with a partition of their own get it, the others share the rest by their key.
import { murmur2 } from "watershed:plugin/helpers@1.0.0";
import { get, text } from "./columns.js";

const MANIFEST = {
  name: "NAME",
  version: "1.0.0",
  api: 1,
  reads: ["keys", "ordering_keys"],
  // It answers by the record and the number of partitions alone, so it can be enforced.
  deterministic: true,
  config_schema: {
    type: "object",
    properties: { own: { type: "array", items: { type: "string" } } },
    additionalProperties: false,
  },
};

const CLIENT_STANDS = 0xffffffff;

const own = new Map();

export const lifecycle = {
  describe: () => JSON.stringify(MANIFEST),
  // To refuse the settings: throw "why".
  init(config) {
    (JSON.parse(config).own ?? []).forEach((tenant, i) => own.set(tenant, i));
  },
};

export const partitioner = {
  // One partition a record, from 0; CLIENT_STANDS where the client's choice stands.
  partition(b, partitions) {
    const [ordered, keys] = [b.orderingKeys(), b.keys()];
    const shared = partitions - own.size;
    return Uint32Array.from({ length: b.len() }, (_, i) => {
      const key = get(ordered, i) ?? get(keys, i);
      if (key === null || shared <= 0) return CLIENT_STANDS;
      return own.get(text(key)) ?? own.size + ((murmur2(key) & 0x7fffffff) % shared);
    });
  },
};
