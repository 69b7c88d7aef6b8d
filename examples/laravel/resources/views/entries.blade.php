<!doctype html>
<title>{{ config('app.name') }}</title>
<h1>{{ config('app.name') }}</h1>
<ul>
@foreach ($entries as $entry)
    <li>{{ $entry->text }}</li>
@endforeach
</ul>
