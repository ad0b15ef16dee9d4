// Packed columns: all values one behind the other, where each ends, and a bit for each that is not null.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const bytes = (text) => encoder.encode(text);
export const text = (bytes) => decoder.decode(bytes);

// The value of record i, as a Uint8Array; null where it is null.
export function get(column, i) {
  if (column.valid.length > 0 && !((column.valid[i >> 3] >> (i & 7)) & 1)) return null;
  return column.data.subarray(i === 0 ? 0 : column.ends[i - 1], column.ends[i]);
}

// A column of Uint8Arrays, and of null where there is null.
export function column(items) {
  const ends = new Uint32Array(items.length);
  const valid = new Uint8Array((items.length + 7) >> 3);
  let end = 0;
  items.forEach((item, i) => {
    if (item !== null) {
      valid[i >> 3] |= 1 << (i & 7);
      end += item.length;
    }
    ends[i] = end;
  });
  const data = new Uint8Array(end);
  items.forEach((item, i) => {
    if (item !== null) data.set(item, ends[i] - item.length);
  });
  return { data, ends, valid };
}

// No headers of no records.
export const noHeaders = () => ({ ends: new Uint32Array(0), names: column([]), values: column([]) });
