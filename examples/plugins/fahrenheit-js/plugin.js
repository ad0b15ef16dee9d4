// Readings are stored in degrees Celsius; clients whose id begins with a prefix see them in degrees Fahrenheit.
import { count } from "watershed:plugin/host@1.0.0";
import { bytes, column, get, noHeaders, text } from "./columns.js";

const MANIFEST = {
  name: "fahrenheit",
  version: "1.0.0",
  api: 1,
  reads: ["values"],
  counters: ["readings_converted"],
  config_schema: {
    type: "object",
    properties: { clients: { type: "string" } },
    additionalProperties: false,
  },
};

const SHOW = 0;
const OTHER_VALUE = 2;

let clients = "us-";

export const lifecycle = {
  describe: () => JSON.stringify(MANIFEST),
  init(config) {
    clients = JSON.parse(config).clients ?? clients;
  },
};

// A reading in degrees Fahrenheit; null for what is none.
function converted(value) {
  try {
    const { celsius, ...rest } = JSON.parse(text(value));
    if (typeof celsius !== "number") return null;
    return JSON.stringify({ ...rest, fahrenheit: Math.round((celsius * 9 / 5 + 32) * 10) / 10 });
  } catch {
    return null;
  }
}

export const fetchFilter = {
  filter(b) {
    if (!b.client().clientId.startsWith(clients)) return { tag: "show-all" };
    const values = b.values();
    const codes = new Uint8Array(b.len());
    const shown = [];
    for (let i = 0; i < codes.length; i++) {
      const value = get(values, i);
      const other = value === null ? null : converted(value);
      codes[i] = other === null ? SHOW : OTHER_VALUE;
      if (other !== null) shown.push(bytes(other));
    }
    if (shown.length === 0) return { tag: "show-all" };
    count("readings_converted", BigInt(shown.length));
    return { tag: "each", val: { codes, values: column(shown), headers: noHeaders() } };
  },
};
