import type { ClusterNode } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { jobWords, nodeState, streamWords } from '@/cluster/node-words';

const node = (more: Partial<ClusterNode>): ClusterNode => ({
  name: 'a:7800',
  version: '1.0.0',
  own: false,
  since: 1,
  heardAt: 2,
  silent: false,
  cursor: '00000001-5',
  lagEvents: 0,
  behindMs: 0,
  away: null,
  leases: [],
  ...more,
});

it('names the worst of a node', () => {
  const word = (more: Partial<ClusterNode>, deaf = false) => nodeState(node(more), deaf).word;
  expect(word({})).toBe('ok');
  expect(word({ behindMs: 4_999 })).toBe('ok');
  expect(word({ behindMs: 5_000 })).toBe('behind');
  expect(word({ behindMs: 9_000, silent: true })).toBe('silent');
  expect(word({ silent: true, away: { from: 1, to: null } })).toBe('without NATS');
  expect(word({ away: { from: 1, to: 2 } })).toBe('ok');
  expect(word({}, true)).toBe('unknown');
  expect(word({ own: true, away: { from: 1, to: null } }, true)).toBe('without NATS');
});

it('names jobs and streams for an operator', () => {
  expect(jobWords('reconcile/production')).toBe('sync of production');
  expect(jobWords('attention')).toBe('conditions');
  expect(jobWords('a_new_job')).toBe('a_new_job');
  expect(['RW_x', 'RW_x_MAPS', 'RW_x_COUNTS', 'RW_x_BLOBS'].map(streamWords)).toEqual([
    'Events',
    'Sign-ins, jobs and the epoch',
    'Open streams and nodes',
    'Data for new nodes',
  ]);
});
