import type { ReactNode } from 'react';
import { participantHref } from './hrefs';
import { PlainLink } from './plain-link';

/** Characters that are not drawn or that turn the direction of the text around them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to show
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Returns a name in which nothing is invisible: U+202E is shown as "⟨202E⟩". */
export const visible = (name: string) =>
  name.replace(INVISIBLE, (one) => `⟨${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** A name that participants choose: it cannot change the text around it. */
export const Name = ({ children }: { children: string }) => <bdi>{visible(children)}</bdi>;

/** Link to the page of a participant. Without an identity it is plain text. */
export function PersonLink({
  identity,
  project,
  title,
  children,
  className = '',
}: {
  identity: string | null | undefined;
  project: string;
  title?: string | null;
  children: ReactNode;
  className?: string;
}) {
  if (!identity) {
    return (
      <span className={className} title={title ?? undefined}>
        {children}
      </span>
    );
  }
  return (
    <PlainLink
      href={participantHref(identity, { project })}
      title={title ?? undefined}
      className={`${className} hover:text-accent hover:underline`}
    >
      {children}
    </PlainLink>
  );
}
