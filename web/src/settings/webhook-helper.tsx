import { type Project, RoomwatchError, useMe, useRoomwatch } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { CircleCheck, FlaskConical } from 'lucide-react';
import { useId, useState } from 'react';
import { serverUrl } from '@/base';
import { useRefusal } from '@/shell/rights';
import { Button } from '@/ui/button';
import { CopyButton } from '@/ui/copy';
import { messageOf } from '@/ui/errors';
import { Field, Input, Select } from '@/ui/field';
import { words } from '@/ui/format';
import { Ago } from '@/ui/time';
import { addressTrouble, livekitYaml, webhookUrl } from './webhook-config';

/** Test event that Roomwatch sends to itself. It proves the endpoint, not LiveKit. */
const TEST_EVENT = 'roomwatch_test';

/** State of LiveKit's webhooks. It turns green with the first one. */
export function WebhookState({ project }: { project: Project }) {
  const { lastWebhookAt, lastWebhookEvent } = project;
  const arrived = lastWebhookAt !== null && lastWebhookEvent !== TEST_EVENT;
  return (
    <p className={arrived ? 'flex items-start gap-2 text-good' : 'flex items-start gap-2 text-ink-2'}>
      {arrived ? (
        <CircleCheck size={15} aria-hidden className="mt-0.5" />
      ) : (
        <span aria-hidden className="mx-1 mt-1.5 size-2 shrink-0 rounded-full border-2 border-warn breathe" />
      )}
      {arrived ? (
        <span>
          Receiving webhooks. Last: <span className="font-mono text-xs">{lastWebhookEvent}</span>,{' '}
          <Ago at={lastWebhookAt} />.
        </span>
      ) : lastWebhookAt !== null ? (
        <span>Test event received. Waiting for the first webhook from LiveKit: join any room.</span>
      ) : (
        <span>Waiting for the first webhook. Set it up as shown below, then join any room.</span>
      )}
      {/* The line above changes with every webhook and every second. Only the first webhook is read out. */}
      <span role="status" className="sr-only">
        {arrived ? `Receiving webhooks of ${project.name}` : ''}
      </span>
    </p>
  );
}

/** Configuration to copy, for livekit.yaml and for LiveKit Cloud. */
export function WebhookHelper({ project }: { project: Project }) {
  const publicUrl = useMe().data?.publicUrl ?? null;
  const [typed, setTyped] = useState<string | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);
  const address = typed ?? publicUrl ?? serverUrl;
  const trouble = addressTrouble(address);
  // A caller with a token does not get the names of the keys.
  const key = chosen ?? project.keys[0] ?? 'YOUR_API_KEY';
  const yaml = livekitYaml(address, key);
  const hintId = useId();
  return (
    <div className="space-y-4">
      <div className="grid gap-4 sm:grid-cols-2">
        <div>
          <Field label="Roomwatch URL reachable from LiveKit">
            <Input
              type="url"
              value={address}
              aria-describedby={hintId}
              spellCheck={false}
              onChange={(event) => setTyped(event.target.value)}
            />
          </Field>
          <p id={hintId} className={trouble ? 'mt-1 text-xs text-warn' : 'mt-1 text-xs text-ink-3'}>
            {trouble ??
              (typed !== null
                ? 'As typed. Changes only the lines below.'
                : publicUrl
                  ? 'The configured public URL'
                  : 'From the address of this page')}
          </p>
        </div>
        {project.keys.length > 1 ? (
          <Field label="API key" hint="The keys configured for this project. LiveKit signs with one of them.">
            <Select className="w-full font-mono" value={key} onChange={(event) => setChosen(event.target.value)}>
              {project.keys.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </Select>
          </Field>
        ) : null}
      </div>

      <div className="grid gap-4 lg:grid-cols-2">
        <section>
          <h3 className="mb-1.5 font-medium">Your own LiveKit</h3>
          <ol className="list-decimal space-y-2 pl-5 text-ink-2 marker:text-ink-3">
            <li>
              Put this into <code className="font-mono text-xs">livekit.yaml</code>. If other URLs are listed, this one
              goes first: LiveKit skips the rest when an earlier one is full.
              <Code text={yaml} label="Copy the lines for livekit.yaml" />
            </li>
            <li>
              <code className="font-mono text-xs">{key}</code> must also be listed under{' '}
              <code className="font-mono text-xs">keys:</code>, or LiveKit does not start.
            </li>
            <li>Restart LiveKit.</li>
          </ol>
        </section>
        <section>
          <h3 className="mb-1.5 font-medium">LiveKit Cloud</h3>
          <ol className="list-decimal space-y-2 pl-5 text-ink-2 marker:text-ink-3">
            <li>Open the project’s settings on cloud.livekit.io, then Webhooks.</li>
            <li>
              Create a webhook with this URL. It must be reachable from the internet by HTTPS.
              <Code text={webhookUrl(address)} label="Copy the URL" />
            </li>
            <li>
              Choose as signing key <code className="font-mono text-xs">{key}</code>.
            </li>
          </ol>
        </section>
      </div>
    </div>
  );
}

const Code = ({ text, label }: { text: string; label: string }) => (
  <span className="mt-1.5 flex items-start gap-1 rounded-md border border-line bg-sunken py-1.5 pr-1.5 pl-3">
    <code className="min-w-0 grow font-mono text-xs leading-5 break-all whitespace-pre-wrap text-ink">
      {text.trimEnd()}
    </code>
    <CopyButton text={text} label={label} />
  </span>
);

type Sent = 'sending' | { cursor: string } | { error: unknown } | null;

/** Button that sends a test event. If it arrives, key, log and stream work. */
export function TestEvent({ project }: { project: Project }) {
  const { client } = useRoomwatch();
  const refusal = useRefusal('moderate');
  const [sent, setSent] = useState<Sent>(null);
  const send = async () => {
    setSent('sending');
    try {
      const { cursor } = await client.testWebhook(project.name);
      setSent({ cursor });
    } catch (error) {
      setSent({ error });
    }
  };
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
      <Button reason={refusal} disabled={sent === 'sending'} onClick={send}>
        <FlaskConical size={14} aria-hidden /> {sent === 'sending' ? 'Sending…' : 'Send a test event'}
      </Button>
      <span role="status" className="text-ink-2">
        {sent === null || sent === 'sending' ? (
          <span className="text-xs text-ink-3">Tests signature, storage and streaming.</span>
        ) : 'cursor' in sent ? (
          <>
            <span className="text-good">Received and stored.</span>{' '}
            <Link to="/events" search={{ at: sent.cursor }} className="text-accent underline">
              View it in the event log
            </Link>
          </>
        ) : (
          <span className="text-bad">
            {messageOf(sent.error)}
            {sent.error instanceof RoomwatchError ? <span className="text-xs"> ({words(sent.error.code)})</span> : null}
          </span>
        )}
      </span>
    </div>
  );
}
