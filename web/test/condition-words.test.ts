import type { Condition } from '@roomwatch/react';
import { describe, expect, it } from 'vitest';
import { conditionWords } from '@/attention/condition-words';

const condition = (kind: string, more: Partial<Condition> = {}): Condition => ({
  project: 'default',
  id: kind,
  kind,
  room: 'consult',
  roomSid: 'RM_1',
  openedAt: 2,
  participant: null,
  egressId: null,
  severity: 'critical',
  since: 1,
  endsAt: null,
  evidence: [],
  values: {},
  acknowledged: null,
  ...more,
});

const said = (kind: string, more?: Partial<Condition>) => {
  const { title, preposition, detail } = conditionWords(condition(kind, more));
  return [title, preposition, detail];
};

describe('the words of a condition', () => {
  it('tells a recording from a stream, with the reason', () => {
    const values = { status: 'failed', error: 'S3 answered 403', stream: false };
    expect(said('egress_failed', { values })).toEqual(['Recording failed', 'of', 'S3 answered 403']);
    const aborted = { status: 'limit_reached', error: '', stream: true };
    expect(said('egress_failed', { values: aborted })).toEqual(['Stream failed', 'of', 'limit reached']);
  });

  it('tells a full disk from a limit that is reached', () => {
    const free = { freeBytes: 900_000_000, diskBytes: 252_000_000_000 };
    expect(said('disk_nearly_full', { values: free })).toEqual([
      'The disk of Roomwatch is nearly full',
      null,
      '900 MB free of 252 GB',
    ]);
    const limit = { usedBytes: 39_000_000_000, limitBytes: 40_000_000_000 };
    expect(said('disk_nearly_full', { values: limit })[2]).toBe('39 GB of 40 GB');
    const refused = { limit: 'max_streams_per_user', max: 5, count: 3, seconds: 300 };
    expect(said('limits_reached', { values: refused })[2]).toBe('max_streams_per_user = 5 · 3 times in 5m 00s');
  });

  it('says what a deployment of several nodes lacks', () => {
    expect(said('node_gone', { values: { node: 'a:7800', version: '1.2.0' } })[0]).toBe('Node a:7800 is gone');
    expect(said('node_behind', { values: { node: 'a:7800' } })[0]).toBe('Node a:7800 is behind');
    const away = { to: 1_000_090_000, nodes: ['a:7800', 'b:7800'] };
    expect(said('log_away', { since: 1_000_000_000, values: away })[2]).toMatch(
      /^for 1m 30s, until .* · for a:7800, b:7800$/,
    );
    const missing = { stream: 'RW_default', servers: ['n2'], error: null };
    expect(said('replica_missing', { values: missing }).slice(0, 3)).toEqual([
      'RW_default is not on all NATS servers',
      null,
      'missing on n2',
    ]);
    expect(said('bootstrap_old', { values: { storedAt: null } })[2]).toBe('never stored');
  });

  it('says why a call failed, with its number', () => {
    const values = { reason: 'user_rejected', number: '+491234' };
    expect(said('call_failed', { values })).toEqual(['Call failed', 'in', 'declined or busy · +491234']);
    const participant = { sid: 'PA_1', identity: 'sip_+491234', name: 'Phone +491234' };
    expect(said('call_failed', { values, participant })[2]).toBe('declined or busy');
    expect(said('call_failed', { values: { reason: 'some_new_reason' } })[2]).toBe('some new reason');
  });

  it('compares a rate with what is usual, and says so if that is unknown', () => {
    expect(said('joins_failing', { values: { minutes: 5, usual: 1.5 } })[2]).toBe('usually 1.5 in 5 minutes');
    expect(said('joins_failing', { values: { minutes: 5, usual: null } })[2]).toBe('unusually many in 5 minutes');
  });

  it('shows values of an unexpected type as absent', () => {
    for (const kind of ['egress_failed', 'call_failed', 'webhooks_missing', 'follower_behind', 'agent_alone']) {
      const values = { error: 1, reason: null, missed: 'x', agent: {}, follower: [], status: 7 };
      expect(said(kind, { values }).join(' ')).not.toMatch(/object|undefined|NaN/);
    }
  });

  it('shows a kind that it does not know by its name', () => {
    expect(said('disk_on_fire')).toEqual(['Disk on fire', null, null]);
  });
});
