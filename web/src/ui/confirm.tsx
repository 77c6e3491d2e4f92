import { createContext, type ReactNode, useCallback, useContext, useState } from 'react';
import { Button } from './button';
import { Dialog } from './dialog';
import { Field, Input } from './field';

export interface Question {
  title: string;
  /** Consequences of the action, and whether it can be undone. */
  body: ReactNode;
  /** Verb on the button. */
  action: string;
  danger?: boolean;
  /** Word that the user must type, for actions that affect many people and cannot be undone. */
  type?: string;
}

const Context = createContext<(question: Question) => Promise<boolean>>(() => Promise.resolve(false));

/** Asks the user and resolves to the answer: `if (await confirm({…})) …`. */
export const useConfirm = () => useContext(Context);

export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState<{ question: Question; answer: (yes: boolean) => void } | null>(null);

  const confirm = useCallback(
    (question: Question) => new Promise<boolean>((answer) => setOpen({ question, answer })),
    [],
  );

  const close = (yes: boolean) => {
    open?.answer(yes);
    setOpen(null);
  };

  return (
    <Context value={confirm}>
      {children}
      {open ? <ConfirmDialog question={open.question} onAnswer={close} /> : null}
    </Context>
  );
}

function ConfirmDialog({ question, onAnswer }: { question: Question; onAnswer: (yes: boolean) => void }) {
  const [typed, setTyped] = useState('');
  const ready = !question.type || typed.trim() === question.type;
  return (
    <Dialog title={question.title} description={question.body} onClose={() => onAnswer(false)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) onAnswer(true);
        }}
      >
        {question.type ? (
          <Field label={`Type ${question.type} to confirm`}>
            <Input
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
              autoComplete="off"
              spellCheck={false}
            />
          </Field>
        ) : null}
        <div className="mt-5 flex justify-end gap-2">
          <Button onClick={() => onAnswer(false)} data-autofocus={question.danger && !question.type ? true : undefined}>
            Cancel
          </Button>
          <Button
            type="submit"
            variant={question.danger ? 'danger' : 'solid'}
            disabled={!ready}
            data-autofocus={question.danger || question.type ? undefined : true}
          >
            {question.action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
