import type { ClusterNode } from '@roomwatch/react';
import type { Tone } from '@/ui/badge';

/** Readers notice that a node is behind after this time. */
const BEHIND_MS = 5_000;

/** Returns the state of a node in a word. `deaf` is true if the node that answers does not hear the others. */
export function nodeState(node: ClusterNode, deaf: boolean): { word: string; tone: Tone } {
  if (node.away !== null && node.away.to === null) return { word: 'without NATS', tone: 'bad' };
  if (deaf && !node.own) return { word: 'unknown', tone: 'plain' };
  if (node.silent) return { word: 'silent', tone: 'bad' };
  if (node.behindMs >= BEHIND_MS) return { word: 'behind', tone: 'warn' };
  return { word: 'ok', tone: 'good' };
}

/** Returns a job that one node does for all, as an operator calls it. */
export function jobWords(job: string): string {
  const [name, project] = job.split('/', 2);
  if (name === 'reconcile' && project !== undefined) return `sync of ${project}`;
  return { attention: 'conditions', bootstrap: 'data for new nodes, removal of old events' }[job] ?? job;
}

/** Returns the content of a stream. */
export function streamWords(stream: string): string {
  if (stream.endsWith('_MAPS')) return 'Sign-ins, jobs and the epoch';
  if (stream.endsWith('_COUNTS')) return 'Open streams and nodes';
  if (stream.endsWith('_BLOBS')) return 'Data for new nodes';
  return 'Events';
}
