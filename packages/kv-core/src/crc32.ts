const SLICES = 8
const TABLES: Uint32Array = /* @__PURE__ */ makeTables()

/**
 * CRC-32 (the one of zip, gzip and PNG) of bytes, eight at a time; give the sum so far to go on with it. It finds every damage to up to
 * 32 bits in a row, which is what a cache file needs, and it is no signature. Node's is not in browsers, and forty lines are no
 * reason for a dependency.
 */
export function crc32(bytes: Uint8Array, sum = 0): number {
  const t = TABLES
  let c = ~sum,
    i = 0
  for (const last = bytes.length - SLICES; i <= last; i += SLICES) {
    const low = c ^ (bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24))
    c =
      t[1792 + (low & 255)] ^
      t[1536 + ((low >>> 8) & 255)] ^
      t[1280 + ((low >>> 16) & 255)] ^
      t[1024 + (low >>> 24)] ^
      t[768 + bytes[i + 4]] ^
      t[512 + bytes[i + 5]] ^
      t[256 + bytes[i + 6]] ^
      t[bytes[i + 7]]
  }
  for (; i < bytes.length; i++) c = t[(c ^ bytes[i]) & 255] ^ (c >>> 8)
  return ~c >>> 0
}

function makeTables(): Uint32Array {
  const tables = new Uint32Array(SLICES * 256)
  for (let byte = 0; byte < 256; byte++) {
    let c = byte
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1
    tables[byte] = c
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256]
    tables[at] = tables[before & 255] ^ (before >>> 8)
  }
  return tables
}
