// What defines the order of a record: a field of its JSON value, in place of its key.

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

export const orderingKey = {
  // One ordering key a record; where it is null, the record's key stands.
  orderingKeys: (b) => b.valueFields(field),
};
