// What enters a topic: records whose JSON value lacks a field are refused.
import { bytes, column, get, noHeaders } from "./columns.js";

const MANIFEST = {
  name: "NAME",
  version: "1.0.0",
  api: 1,
  reads: ["values"],
  config_schema: {
    type: "object",
    properties: { field: { type: "string" } },
    additionalProperties: false,
  },
};

let field = "tenant";

export const lifecycle = {
  describe: () => JSON.stringify(MANIFEST),
  // To refuse the settings: throw "why".
  init(config) {
    field = JSON.parse(config).field ?? field;
  },
};

const KEEP = 0;
const REJECT = 2;

export const interceptor = {
  // One code a record, and a reason for each that is refused.
  intercept(b) {
    const fields = b.valueFields(field);
    const codes = new Uint8Array(b.len());
    const reasons = [];
    for (let i = 0; i < codes.length; i++) {
      codes[i] = get(fields, i) === null ? REJECT : KEEP;
      if (codes[i] === REJECT) reasons.push(bytes(`the value has no field ${field}`));
    }
    if (reasons.length === 0) return { tag: "keep-all" };
    return { tag: "each", val: { codes, reasons: column(reasons), values: column([]), headers: noHeaders() } };
  },
};
