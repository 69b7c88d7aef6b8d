<?php

use App\Models\Entry;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Route;

Route::get('/', fn () => view('entries', ['entries' => Entry::orderBy('id')->get()]));

Route::get('/healthz', function () {
    DB::select('select 1');

    return response("ok\n", 200, ['Content-Type' => 'text/plain']);
});
