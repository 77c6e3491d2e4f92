import { RoomwatchError, useMe, useRoomwatch } from '@roomwatch/react';
import { useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useRouter } from '@tanstack/react-router';
import { Eye, EyeOff, LogIn } from 'lucide-react';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { basePath } from '@/base';
import { Button, IconButton } from '@/ui/button';
import { isSignedOut, messageOf } from '@/ui/errors';
import { Field, Input } from '@/ui/field';
import { duration } from '@/ui/format';
import { ErrorState } from '@/ui/states';
import { useNow } from '@/ui/time';
import { Logo } from './logo';
import { returnPath } from './return-path';

const route = getRouteApi('/sign-in');

/** Sign-in page. Afterwards the user is at the page they asked for. */
export function SignIn() {
  const { to, ended } = route.useSearch();
  const router = useRouter();
  const me = useMe();
  const path = returnPath(to);

  // After an expired login, the cached `me` still says signed in: the server is asked again.
  const [asked, setAsked] = useState(!ended);
  const { refetch } = me;
  useEffect(() => {
    if (ended) void refetch().then(() => setAsked(true));
  }, [ended, refetch]);
  const signedIn = asked && me.data !== undefined && me.error === null;
  useEffect(() => {
    // Signed in already, in another tab or with --dev.
    if (signedIn) router.history.replace(`${basePath}${path}`);
  }, [signedIn, router, path]);

  return (
    <main className="flex min-h-dvh flex-col items-center justify-center px-4 py-10">
      <div className="w-full max-w-80">
        <div className="mb-6 flex items-center gap-2.5">
          <Logo />
          <h1 className="text-lg font-semibold tracking-tight">Sign in to Roomwatch</h1>
        </div>
        {me.error && !isSignedOut(me.error) ? (
          <div className="rounded-lg border border-line bg-surface shadow-card">
            <ErrorState error={me.error} title="Can’t reach Roomwatch" compact onRetry={() => me.refetch()} />
          </div>
        ) : (
          <>
            {ended ? (
              <p className="mb-4 rounded-md bg-warn-soft px-3 py-2 text-warn">
                Your login has expired. Sign in to continue where you were.
              </p>
            ) : null}
            <SignInForm />
          </>
        )}
        <p className="mt-6 text-xs break-words text-ink-3">
          {location.host}
          {basePath}
        </p>
      </div>
    </main>
  );
}

function SignInForm() {
  const { client, connection } = useRoomwatch();
  const queryClient = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [shown, setShown] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [waitUntil, setWaitUntil] = useState(0);
  const password = useRef<HTMLInputElement>(null);
  const wait = waitUntil - useNow();

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy || wait > 0) return;
    const form = new FormData(event.currentTarget);
    const user = String(form.get('user')).trim();
    setBusy(true);
    setError(null);
    try {
      await client.login({ user: user || undefined, password: String(form.get('password')) });
      // The old data may belong to another user. `me` is fetched again, and its answer leads on.
      connection.retry();
      await queryClient.resetQueries();
    } catch (cause) {
      setError(cause);
      if (cause instanceof RoomwatchError && cause.retryAfter) setWaitUntil(Date.now() + cause.retryAfter);
      password.current?.select();
      password.current?.focus();
    } finally {
      setBusy(false);
    }
  };

  return (
    <form onSubmit={submit} className="space-y-4">
      <Field label="User" hint="Leave empty if you have only a password">
        <Input
          name="user"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          autoFocus
          className="h-9 max-md:text-base"
        />
      </Field>
      <div>
        <label htmlFor="password" className="mb-1 block text-xs font-medium text-ink-2">
          Password
        </label>
        <div className="relative">
          <Input
            ref={password}
            id="password"
            name="password"
            type={shown ? 'text' : 'password'}
            autoComplete="current-password"
            required
            aria-invalid={isSignedOut(error) || undefined}
            aria-describedby="sign-in-error"
            className="h-9 pr-9 max-md:text-base"
          />
          <IconButton
            label={shown ? 'Hide password' : 'Show password'}
            className="absolute top-0.5 right-0.5"
            onClick={() => setShown(!shown)}
          >
            {shown ? <EyeOff size={14} /> : <Eye size={14} />}
          </IconButton>
        </div>
      </div>
      {/* Empty at first: screen readers ignore a live region that appears together with its text. */}
      <p id="sign-in-error" role="alert" className="text-bad empty:mt-0">
        {error ? wordsOf(error) : null}
      </p>
      <Button
        type="submit"
        variant="solid"
        className="num h-9 w-full"
        disabled={busy}
        reason={wait > 0 ? 'Too many attempts. Wait a moment.' : null}
      >
        <LogIn size={14} aria-hidden />
        {wait > 0 ? `Try again in ${duration(wait + 999)}` : busy ? 'Signing in…' : 'Sign in'}
      </Button>
    </form>
  );
}

/** Returns the message for a failed sign-in. */
function wordsOf(error: unknown): string {
  if (error instanceof RoomwatchError) {
    if (error.status === 401) return 'Wrong user name or password.';
    if (error.status === 429) return 'Too many attempts. Wait, then try again.';
    if (error.status === 0)
      return 'Cannot reach Roomwatch. Check that the server runs and that you are on its network.';
  }
  return messageOf(error);
}
