import { Cast } from './cast.js';
import { LiveKit } from './livekit.js';
import { Roomwatch, type RoomwatchOptions } from './roomwatch.js';
import { freePort } from './wait.js';

/** A LiveKit server and a Roomwatch that are connected to each other, as in an installation. */
export class World {
  private readonly casts: Cast[] = [];
  private constructor(
    readonly name: string,
    readonly livekit: LiveKit,
    readonly roomwatch: Roomwatch,
  ) {}

  /** `name` is the name of the logs in `.artifacts`. */
  static async start(name: string, options: { yaml?: string; env?: RoomwatchOptions['env'] } = {}): Promise<World> {
    const port = await freePort();
    const livekit = await LiveKit.start({
      webhooks: [`http://127.0.0.1:${port}/api/webhooks/livekit`],
      name: `${name}-livekit`,
      yaml: options.yaml ?? 'room:\n  enable_remote_unmute: true\n',
    });
    try {
      const roomwatch = await Roomwatch.start({
        port,
        livekitUrl: livekit.url,
        name: `${name}-roomwatch`,
        env: options.env ?? {},
      });
      return new World(name, livekit, roomwatch);
    } catch (error) {
      await livekit.kill();
      throw error;
    }
  }

  /** Starts a process with participants. */
  async cast(): Promise<Cast> {
    const cast = await Cast.start(this.livekit, `${this.name}-cast-${this.casts.length + 1}`);
    this.casts.push(cast);
    return cast;
  }

  async stop(): Promise<void> {
    await Promise.all(this.casts.map((cast) => cast.crash()));
    await Promise.all([this.roomwatch.close(), this.livekit.kill()]);
  }
}
