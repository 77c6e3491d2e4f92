import { expect, it } from 'vitest';
import { participantHref } from '@/ui/hrefs';
import { visible } from '@/ui/person-name';

it.each([
  ['Мария Иванова', 'Мария Иванова'],
  ['\u202egnp.exe', '⟨202E⟩gnp.exe'],
  ['a\u0000b\nc\u200bd\u2066e\ufeff', 'a⟨0000⟩b⟨000A⟩c⟨200B⟩d⟨2066⟩e⟨FEFF⟩'],
  ['👩‍🚀', '👩‍🚀'],
])('nothing in a name is invisible: %j', (name, shown) => expect(visible(name)).toBe(shown));

it('the address of a participant has the whole identity', () => {
  const href = participantHref('a/b?c#d e\u202e%2f', { project: 'p/q' });
  expect(href).toBe('/participants/a%2Fb%3Fc%23d%20e%E2%80%AE%252f?project=p%2Fq');
});
