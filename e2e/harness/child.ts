import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './wait.js';

/** Logs, traces and screenshots of the last run; ignored by git. */
export const ARTIFACTS = join(import.meta.dirname, '..', '.artifacts');

const living = new Set<Child>();

// However this process ends (a failed assertion, Ctrl-C, a killed worker of the test runner), its children are killed.
process.on('exit', () => {
  for (const child of living) child.signal('SIGKILL');
});
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(1));

/** A program under test, in its own process group, so that its children are signalled too. Its output goes to `.artifacts/<name>.log`. */
export class Child {
  readonly log: string;
  readonly process: ChildProcess;
  private readonly offset: number;

  constructor(
    name: string,
    program: string,
    args: string[],
    env: NodeJS.ProcessEnv = {},
    stdin: 'ignore' | 'pipe' | 'ipc' = 'ignore',
  ) {
    mkdirSync(ARTIFACTS, { recursive: true });
    this.log = join(ARTIFACTS, `${name}.log`);
    const out = openSync(this.log, 'a');
    this.offset = readFileSync(this.log).length;
    this.process = spawn(program, args, {
      detached: true,
      env: { ...process.env, ...env },
      stdio: stdin === 'ipc' ? ['ignore', out, out, 'ipc'] : [stdin, out, out],
    });
    closeSync(out);
    living.add(this);
    this.process.on('exit', () => living.delete(this));
    this.process.on('error', () => living.delete(this));
  }

  get exited(): boolean {
    return this.process.pid === undefined || this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Returns its output since this start. */
  output(): string {
    return readFileSync(this.log).subarray(this.offset).toString('utf8');
  }

  /** Signals the whole group. It is not an error if the group has ended. */
  signal(signal: NodeJS.Signals): void {
    if (this.process.pid === undefined) return;
    try {
      process.kill(-this.process.pid, signal);
    } catch {
      // The group has ended already.
    }
  }

  /** Ends it with `signal`, and with SIGKILL if that takes longer than `within`. Resolves to its exit code, or null if a signal ended it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', within = 15_000): Promise<number | null> {
    if (!this.exited) {
      this.signal(signal);
      await until(`${this.log} to exit`, () => this.exited, { within }).catch(() => this.signal('SIGKILL'));
      await until(`${this.log} to be killed`, () => this.exited, { within: 5_000 });
    }
    return this.process.exitCode;
  }
}
