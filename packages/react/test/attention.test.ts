import { describe, expect, it } from 'vitest';
import { type AttentionData, applyToAttention } from '../src/core/apply';
import type { Change, Condition, Message } from '../src/core/wire';

const condition = (id: string, severity: 'critical' | 'warning' | 'notice', since: number, project = 'p') =>
  ({ id, severity, since, project, kind: id, acknowledged: null }) as unknown as Condition;

const message = (seq: number, ...changes: Partial<Change>[]): Message => ({
  type: 'roomwatch.condition_opened',
  data: { event: 'roomwatch.condition_opened' },
  timestamp: seq,
  cursor: `0000000a-${seq}`,
  project: 'p',
  room: null,
  source: 'roomwatch',
  changes: changes.map(
    (change) => ({ kind: 'condition', project: 'p', room: null, roomSid: null, ...change }) as Change,
  ),
});

const data = (...conditions: Condition[]) =>
  ({ cursor: '0000000a-1', conditions, rules: {} }) as unknown as AttentionData;

const ids = ({ conditions }: AttentionData) => conditions.map(({ project, id }) => `${project}/${id}`);

describe('open conditions', () => {
  it('are kept in the order of the server: the worst first, and of those the oldest', () => {
    const before = data(condition('b', 'warning', 5));
    const after = applyToAttention(before, [
      message(2, { op: 'set', id: 'n', value: condition('n', 'notice', 1) }),
      message(3, { op: 'set', id: 'c', value: condition('c', 'critical', 9) }),
      message(4, { op: 'set', id: 'a', value: condition('a', 'warning', 4) }),
    ]);
    expect(ids(after)).toEqual(['p/c', 'p/a', 'p/b', 'p/n']);
    expect(after.cursor).toBe('0000000a-4');
    expect(before.conditions).toHaveLength(1);
  });

  it('are closed and changed in their own project only', () => {
    const before = data(condition('a', 'critical', 1), condition('a', 'critical', 1, 'q'));
    const acknowledged = { by: 'olga', at: 3, until: null, reason: null };
    const after = applyToAttention(before, [
      message(2, { op: 'delete', id: 'a', project: 'q', value: null }),
      message(3, { op: 'patch', id: 'a', value: { acknowledged } }),
      message(4, { op: 'patch', id: 'gone', value: { acknowledged } }),
    ]);
    expect(ids(after)).toEqual(['p/a']);
    expect(after.conditions[0]?.acknowledged).toEqual(acknowledged);
  });

  it('keep their identity if nothing changed, and ignore what the answer had already', () => {
    const before = data(condition('a', 'critical', 1));
    const room = { kind: 'room', op: 'patch', id: 'RM_1', value: {} } as Partial<Change>;
    expect(applyToAttention(before, [message(2, room)])).toBe(before);
    expect(applyToAttention(before, [message(1, { op: 'delete', id: 'a', value: null })])).toBe(before);
    expect(applyToAttention(before, [message(2, { op: 'delete', id: 'a', value: null })], 'q')).toBe(before);
  });
});
