import type { SessionDetail } from '@roomwatch/react';
import { useMemo } from 'react';
import { Name, PersonLink } from '@/ui/person-name';
import { summaryOf } from './summary';

/** The summary of a session in words. A participant's name leads to their page. */
export function SummaryText({ detail, now }: { detail: SessionDetail; now: number }) {
  const sentences = useMemo(() => summaryOf(detail, now), [detail, now]);
  if (sentences.length === 0) return null;
  return (
    <section aria-label="Summary" className="mb-4 max-w-[60rem] text-[0.9375rem] leading-6 break-words">
      {sentences.map((sentence, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: sentences have no id, and are drawn as a whole
        <span key={at}>
          {at === 0 ? null : ' '}
          {sentence.map((part, n) =>
            typeof part === 'string' ? (
              part
            ) : (
              // biome-ignore lint/suspicious/noArrayIndexKey: the same name can be in a sentence twice
              <PersonLink key={n} identity={part.identity} project={detail.session.project} className="font-medium">
                <Name>{part.name}</Name>
              </PersonLink>
            ),
          )}
        </span>
      ))}
    </section>
  );
}
