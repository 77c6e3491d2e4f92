// Before the first test: the dashboard and the server are built, so that what is tested is what stands in the tree.
// `E2E_ROOMWATCH_BIN` names a binary to test instead.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ARTIFACTS } from './harness/child.js';
import { livekitBinary } from './harness/livekit.js';
import { roomwatchBinary } from './harness/roomwatch.js';

export default function setup(): void {
  rmSync(ARTIFACTS, { recursive: true, force: true });
  livekitBinary();
  if (process.env.E2E_ROOMWATCH_BIN) return;
  const root = join(import.meta.dirname, '..');
  // Vitest says `test`, and React built for tests is another one: slower, larger, and not what is delivered.
  execFileSync('make', ['web'], { cwd: root, stdio: 'inherit', env: { ...process.env, NODE_ENV: 'production' } });
  execFileSync('cargo', ['build', '--bin', 'roomwatch'], { cwd: root, stdio: 'inherit' });
  if (!existsSync(roomwatchBinary())) throw new Error(`${roomwatchBinary()} was not built`);
}
