import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Courses } from './courses.js';
import type { JournalEvent } from './events.js';

/** Launches in a row, each by the step that it goes on from. */
function coursesOf(resumeSteps: readonly (number | null)[]): Courses {
  const courses = new Courses();
  for (const [i, resumeStep] of resumeSteps.entries()) {
    const resumeFrom = resumeStep === null ? null : `step-${resumeStep}`;
    courses.add({ event: 'run', schema: 1, id: 'x', runDir: '/x', attempt: i + 1 });
    courses.add({ event: 'launch', launcher: 'local', numRanks: 1, resumeFrom, resumeStep });
  }
  return courses;
}

const counted = (courses: Courses, attempt: number, steps: readonly number[]) =>
  steps.filter((step) => courses.counts({ step, attempt }));

test('one launch ~> all of its steps', () => {
  const courses = coursesOf([null]);
  assert.is(courses.start, 0);
  assert.equal(counted(courses, 1, [1, 2, 10]), [1, 2, 10]);
});

test('a launch that goes back ~> no step behind its start by an earlier one, however far it gets itself', () => {
  const courses = coursesOf([null, 6]);
  assert.is(courses.start, 6);
  assert.equal(counted(courses, 1, [5, 6, 7, 10]), [5, 6]);
  assert.equal(counted(courses, 2, [7, 8]), [7, 8]);
});

test('several ~> each counts up to where the earliest later one began', () => {
  const courses = coursesOf([null, 6, 8, 4]);
  assert.equal(counted(courses, 1, [4, 5, 6]), [4]);
  assert.equal(counted(courses, 2, [7, 8]), []);
  assert.equal(counted(courses, 3, [9]), []);
  assert.equal(counted(courses, 4, [5, 20]), [5, 20]);
});

test('a launch from the beginning ~> none of what earlier ones did', () => {
  const courses = coursesOf([null, null, 3]);
  assert.equal(counted(courses, 1, [1, 2]), []);
  assert.equal(counted(courses, 2, [1, 3, 4]), [1, 3]);
  assert.is(coursesOf([null, 4, null]).start, 0);
});

test('events without the step ~> all rows, as before', () => {
  const courses = new Courses();
  courses.add({ event: 'run', schema: 1, id: 'x', runDir: '/x', attempt: 2 });
  const old = { event: 'launch', launcher: 'local', numRanks: 1, resumeFrom: '/x/step-000006' };
  courses.add(old as JournalEvent);
  assert.ok(courses.counts({ step: 10, attempt: 1 }));
});

test.run();
