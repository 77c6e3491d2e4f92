import type { Egress, EgressEntry } from '@roomwatch/react';
import type { Tone } from '@/ui/badge';
import { duration } from '@/ui/format';

/** Statuses in the order of the filter: trouble first. */
export const STATUSES = ['failed', 'aborted', 'limit_reached', 'starting', 'active', 'ending', 'complete'] as const;
export const TROUBLE: readonly string[] = ['failed', 'aborted', 'limit_reached'];

const TONES: Record<string, Tone> = {
  failed: 'bad',
  aborted: 'bad',
  limit_reached: 'warn',
  active: 'accent',
  complete: 'good',
};
export const statusTone = (status: string): Tone => TONES[status] ?? 'plain';

const OUTPUTS: Record<string, string> = {
  file: 'Recording',
  stream: 'Stream',
  segments: 'HLS segments',
  images: 'Images',
};

/** Returns "Recording", "Stream" or "Recording and stream": a stream is not a recording. */
export function outputWords({ outputs }: Pick<EgressEntry | Egress, 'outputs'>): string {
  const kinds = [...new Set(outputs.map(({ kind }) => OUTPUTS[kind] ?? kind))];
  if (kinds.length === 0) return 'Egress';
  return kinds
    .map((kind, n) => (n === 0 ? kind : kind.replace(/^[A-Z](?=[a-z])/, (c) => c.toLowerCase())))
    .join(' and ');
}

/** Returns "stream" for an egress that only streams, and "recording" for any other. */
export const egressNoun = ({ outputs }: { outputs: { kind?: string }[] }): 'stream' | 'recording' =>
  outputs.length > 0 && outputs.every(({ kind }) => kind === 'stream') ? 'stream' : 'recording';

/** Returns how long an ended egress ran, or null if LiveKit did not say. */
export function ranFor({ startedAt, endedAt, durationMs }: EgressEntry): string | null {
  if (durationMs !== null) return duration(durationMs);
  return startedAt !== null && endedAt !== null ? duration(endedAt - startedAt) : null;
}
