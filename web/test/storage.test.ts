import type { StorageSpace } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { limitWords } from '@/settings/storage';

it('says how long the limit lasts, and nothing if the rate is unknown', () => {
  const said = (limitDays: number | null) => limitWords({ limitDays } as StorageSpace);
  expect(said(25.3)).toBe('about 25 days at today’s rate');
  expect(said(1.2)).toBe('about 1 day at today’s rate');
  expect(said(0.4)).toBe('less than a day at today’s rate');
  expect(said(4_000)).toBe('more than ten years at today’s rate');
  expect(said(null)).toBeNull();
});
