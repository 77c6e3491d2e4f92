// Builds the dashboard and the server before the first test, so that the tests run the code of the work tree.
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
  // Vitest sets NODE_ENV to `test`, for which React has another build: slower, larger, and not the one that is delivered.
  execFileSync('make', ['web'], { cwd: root, stdio: 'inherit', env: { ...process.env, NODE_ENV: 'production' } });
  execFileSync('cargo', ['build', '--bin', 'roomwatch'], { cwd: root, stdio: 'inherit' });
  if (!existsSync(roomwatchBinary())) throw new Error(`${roomwatchBinary()} was not built`);
}
