// A clip by the Vercel AI SDK from the endpoint of the environment: its size in bytes and its media type, as JSON.
import { readFile } from "node:fs/promises";
import { createRunpod } from "@runpod/ai-sdk-provider";
import { experimental_generateVideo as generateVideo } from "ai";

const { RUNPOD_ENDPOINT_BASE_URL, ENDPOINT_ID, IMAGE } = process.env;
const runpod = createRunpod({ apiKey: "any key" });
const { videos } = await generateVideo({
  model: runpod.video(`${RUNPOD_ENDPOINT_BASE_URL}/${ENDPOINT_ID}`),
  prompt: { image: await readFile(IMAGE), text: "the rocket lifts off" },
  resolution: "320x240",
  duration: 1,
  fps: 8,
  seed: 7,
  providerOptions: { runpod: { steps: 2, pollIntervalMillis: 200 } },
});
const [video] = videos;
console.log(JSON.stringify({ count: videos.length, mediaType: video.mediaType, base64: video.base64 }));
