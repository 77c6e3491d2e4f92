import type { Me } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { refusal } from '@/shell/rights';

const me = (more: Partial<Me>): Me => ({
  user: 'someone',
  kind: 'session',
  role: null,
  projects: ['default'],
  grants: null,
  streams: { open: 1, max: 5 },
  expiresAt: null,
  publicUrl: null,
  demo: false,
  version: '0.1.0',
  ...more,
});

it('gives a viewer no commands, with a reason', () => {
  for (const action of ['moderate', 'create', 'end', 'watch', 'administer'] as const) {
    expect(refusal(me({ role: 'viewer' }), action)).toBe('Needs the operator role. You are a viewer.');
  }
});

it('gives an operator everything but administration', () => {
  expect(refusal(me({ role: 'operator' }), 'end')).toBeNull();
  expect(refusal(me({ role: 'operator' }), 'administer')).toBe('Needs the admin role.');
});

it('reads the grants of a token: roomAdmin moderates its own room, roomCreate ends any', () => {
  const admin = me({ kind: 'token', grants: { roomAdmin: true, room: 'a' } });
  expect(refusal(admin, 'moderate', 'a')).toBeNull();
  expect(refusal(admin, 'moderate', 'b')).toBe('Your token needs roomAdmin');
  expect(refusal(admin, 'end', 'a')).toBe('Your token needs roomCreate');
  expect(refusal(me({ kind: 'token', grants: { roomCreate: true } }), 'end', 'b')).toBeNull();
});

it('allows nothing before the user is known', () => expect(refusal(undefined, 'end')).not.toBeNull());
