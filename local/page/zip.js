/** A ZIP archive of files as they are: clips and images are compressed already. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
const VERSION = 20, NAMES_ARE_UTF8 = 0x0800;
const NEW_YEAR_1980 = 0x21; // the format's first day: the archive tells no time
const LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50;

/** @param {{name: string, blob: Blob}[]} files @returns {Promise<Blob>} */
export async function zip(files) {
  const parts = [], directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const title = new TextEncoder().encode(name);
    const sum = checksum(new Uint8Array(await blob.arrayBuffer()));
    // As the local header has it, and again in the directory.
    const common = [2, VERSION, 2, NAMES_ARE_UTF8, 2, 0, 2, 0, 2, NEW_YEAR_1980, 4, sum, 4, blob.size, 4, blob.size];
    const header = record([4, LOCAL, ...common, 2, title.length, 2, 0]);
    parts.push(header, title, blob);
    directory.push(record([4, CENTRAL, 2, VERSION, ...common, 2, title.length, ...[2, 0, 2, 0, 2, 0, 2, 0], 4, 0, 4, offset]), title);
    offset += header.length + title.length + blob.size;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record([4, END, 2, 0, 2, 0, 2, files.length, 2, files.length, 4, length, 4, offset, 2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** Numbers as bytes, little end first: width, value, width, value ... */
function record(pairs) {
  const bytes = [];
  for (let place = 0; place < pairs.length; place += 2) {
    for (let byte = 0; byte < pairs[place]; byte += 1) bytes.push((pairs[place + 1] >>> (8 * byte)) & 0xff);
  }
  return Uint8Array.from(bytes);
}

/** CRC-32. */
function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ TABLE[(value ^ byte) & 0xff];
  return (value ^ 0xffffffff) >>> 0;
}
