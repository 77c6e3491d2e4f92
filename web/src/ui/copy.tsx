import { Check, Copy } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { IconButton } from './button';
import { copyText } from './clipboard';
import { Name } from './person-name';
import { toast } from './toast';

/** Button that copies `text`. Its icon shows the success. */
export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  return (
    <IconButton
      label={done ? 'Copied' : label}
      className="!h-6 !w-6"
      onClick={async () => {
        if (!(await copyText(text))) return toast.bad(new Error('This browser does not allow copying'));
        setDone(true);
        setTimeout(() => setDone(false), 1_500);
      }}
    >
      {done ? <Check size={13} className="text-good" /> : <Copy size={13} />}
    </IconButton>
  );
}

/** Identifier in the mono font, with a button that copies it. */
export const Sid = ({ children, label }: { children: string; label?: ReactNode }) => (
  <span className="inline-flex max-w-full items-center gap-0.5">
    {label}
    <code className="truncate font-mono text-xs text-ink-2">
      <Name>{children}</Name>
    </code>
    <CopyButton text={children} label={`Copy ${children}`} />
  </span>
);
