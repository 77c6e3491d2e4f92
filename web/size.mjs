// Fails if a first visit loads more JavaScript than its budget. Runs after each build.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** Maximum JavaScript for the first paint of a page, gzipped. Charts, the Watch view and the palette are loaded later. */
const BYTES_MAX = 200 * 1024;

const dist = new URL('./dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('manifest.json', dist), 'utf8'));
const entry = Object.keys(manifest).find((name) => manifest[name].isEntry);
const pages = manifest[entry].dynamicImports;

/** Returns a chunk and all its static imports. */
function closure(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const other of manifest[name].imports ?? []) closure(other, found);
  return found;
}

const bytes = (names) =>
  [...names].reduce(
    (sum, name) => sum + gzipSync(readFileSync(new URL(manifest[name].file, dist)), { level: 9 }).length,
    0,
  );

let failed = false;
for (const page of pages) {
  const size = bytes(closure(page, closure(entry)));
  failed ||= size > BYTES_MAX;
  console.log(`${(size / 1024).toFixed(1).padStart(6)} KiB  ${manifest[page].name ?? page}`);
}
if (failed) {
  console.error(`A first visit may load ${BYTES_MAX / 1024} KiB of JavaScript, gzipped.`);
  process.exit(1);
}
