import type { Message } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { Link2 } from 'lucide-react';
import { serverUrl } from '@/base';
import { buttonClass } from '@/ui/button';
import { copyText } from '@/ui/clipboard';
import { CopyButton } from '@/ui/copy';
import { fullTime } from '@/ui/format';
import { toast } from '@/ui/toast';
import type { EventSearch } from './event-search';
import { JsonTree } from './json-tree';

/** The whole event, with its links. */
export function OpenedEvent({ message, filter }: { message: Message; filter: EventSearch }) {
  const { data, changes, ...envelope } = message;
  const text = JSON.stringify(message, null, 2);
  const address = `${serverUrl}/events?at=${encodeURIComponent(message.cursor)}`;
  const sid = (data.room as { sid?: unknown } | undefined)?.sid;
  const { identity } = data.participant ?? {};
  const link = buttonClass('ghost', '!h-7 !px-1.5 !text-xs');
  return (
    <div className="border-y border-line bg-sunken px-3 py-2.5 md:px-9">
      <div className="mb-1.5 flex flex-wrap items-center gap-x-1 gap-y-1">
        <span className="mr-auto text-xs text-ink-3 max-md:w-full">{fullTime(message.timestamp)}</span>
        {message.room !== null ? (
          <>
            <Link
              to="/rooms/$room"
              params={{ room: message.room }}
              search={{ project: message.project }}
              className={link}
            >
              Room
            </Link>
            {typeof sid === 'string' ? (
              <Link to="/sessions/$sid" params={{ sid }} search={{ project: message.project }} className={link}>
                Session
              </Link>
            ) : null}
            {filter.room === message.room ? null : (
              <Link to="/events" search={{ ...filter, room: message.room, at: message.cursor }} className={link}>
                Only this room
              </Link>
            )}
          </>
        ) : null}
        {typeof identity === 'string' && identity !== '' ? (
          <>
            <Link
              to="/participants/$identity"
              params={{ identity }}
              search={{ project: message.project }}
              className={link}
            >
              Participant
            </Link>
            {filter.participant === identity ? null : (
              <Link to="/events" search={{ ...filter, participant: identity, at: message.cursor }} className={link}>
                Only this participant
              </Link>
            )}
          </>
        ) : null}
        {filter.type === message.type ? null : (
          <Link to="/events" search={{ ...filter, type: message.type, at: message.cursor }} className={link}>
            Only this type
          </Link>
        )}
        <button
          type="button"
          className={link}
          onClick={async () => {
            if (await copyText(address)) toast.good('Link copied');
            else toast.bad(new Error('This browser does not allow copying'));
          }}
        >
          <Link2 size={13} aria-hidden /> Copy link
        </button>
        <CopyButton text={text} label="Copy event as JSON" />
      </div>
      <JsonTree value={{ ...envelope, data }} open={3} />
      {changes && changes.length > 0 ? <JsonTree value={{ changes }} open={0} /> : null}
    </div>
  );
}
