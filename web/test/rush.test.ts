import { expect, it } from 'vitest';
import { Counter } from '@/events/use-rush';

const at = (second: number) => 1_700_000_000_000 + second * 1_000;

it('counts the events of ten seconds by kind', () => {
  const counter = new Counter();
  for (let n = 0; n < 30; n++) counter.add('participant_joined', at(n % 3));
  for (let n = 0; n < 20; n++) counter.add('participant_left', at(3));
  counter.add('track_published', at(3));
  expect(counter.rush(at(3))).toEqual({ joins: 30, leaves: 20, others: 1 });
});

it('forgets what is older', () => {
  const counter = new Counter();
  for (let n = 0; n < 60; n++) counter.add('participant_joined', at(0));
  for (let n = 0; n < 60; n++) counter.add('participant_left', at(8));
  expect(counter.rush(at(10))).toEqual({ joins: 60, leaves: 60, others: 0 });
  expect(counter.rush(at(11))).toEqual({ joins: 0, leaves: 60, others: 0 });
  expect(counter.rush(at(19))).toBeNull();
});

it('says nothing of events that can be read one by one', () => {
  const counter = new Counter();
  for (let n = 0; n < 49; n++) counter.add('participant_joined', at(n % 10));
  expect(counter.rush(at(9))).toBeNull();
  counter.add('participant_joined', at(9));
  expect(counter.rush(at(9))).toEqual({ joins: 50, leaves: 0, others: 0 });
});
